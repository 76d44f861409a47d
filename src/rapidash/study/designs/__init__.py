"""The frozen design of every study that ships with the package, one file each."""
