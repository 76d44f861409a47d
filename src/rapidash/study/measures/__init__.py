"""Measures of this package by name, a file each, see `rapidash.registry.MEASURES`."""
