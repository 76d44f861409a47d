"""One thing of every kind, added to rapidash by the entry points of this package alone."""
