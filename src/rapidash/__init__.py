"""How much symmetry should a model of geometric data have? Set it, break it, measure it."""
