"""Methods that make a network equivariant."""
