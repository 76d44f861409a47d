"""The variants that studies of generators share."""

from dataclasses import replace

from rapidash.generate import Denoising
from rapidash.methods import Augment, Objective, Variant
from rapidash.models import RapidashConfig


def generator_ladder(base: RapidashConfig) -> tuple[Variant, ...]:
    """The ladder of symmetries for a generator, all trained by denoising.

    Args:
        base: dimension, width, depth and grid; the grid of networks that see handedness has 12 orientations in space.
    """
    dim = 2 if "(2)" in base.symmetry else 3
    flat, lifted, diffusion = f"R{dim}", f"R{dim}xS{dim - 1}", Denoising()
    oriented = replace(base, symmetry=f"E({dim})", space=lifted)
    chiral = replace(oriented, symmetry=f"SE({dim})", num_orientations=12 if dim == 3 else base.num_orientations)
    free = replace(base, symmetry=f"T({dim})", space=flat)
    root = Variant(f"SE({dim}) on {lifted}", chiral, objective=diffusion)

    def changed(name: str, model: RapidashConfig, neighbor: str, knob: str, **rest: object) -> Variant:
        options: dict[str, object] = {"objective": diffusion, **rest}
        return Variant(name, model, neighbor=neighbor, knob=knob, **options)  # type: ignore[arg-type]

    mirror = changed(f"E({dim}) on {lifted}", oriented, root.name, "mirror images are alike")
    plain = changed(
        f"E({dim}) on {flat}",
        replace(base, symmetry=f"E({dim})", space=flat),
        mirror.name,
        "no orientations: kernels see distances only",
    )
    loose = changed(f"T({dim}) on {flat}", free, plain.name, "kernels and inputs see all components")
    turned = changed(
        f"T({dim}) on {flat} + rotations",
        free,
        loose.name,
        f"training clouds turned by random elements of SO({dim})",
        methods=(Augment(f"SO({dim})"),),
    )
    return root, mirror, plain, loose, turned


def with_objective(root: Variant, objective: Objective, plus: str, knob: str) -> Variant:
    """The variant with another objective."""
    return replace(root, name=f"{root.name}, {plus}", objective=objective, neighbor=root.name, knob=knob)
