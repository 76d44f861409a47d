"""Finding the symmetry in the data: widths, sharing, subgroups, and generators, all learned."""

from rapidash.learn._relax_to_subgroup import layer_subgroups, relax_to_subgroup, subgroup_distance

__all__ = ["layer_subgroups", "relax_to_subgroup", "subgroup_distance"]
