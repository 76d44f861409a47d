"""Finding the symmetry in the data: widths, sharing, subgroups, and generators, all learned."""

__all__: list[str] = []
