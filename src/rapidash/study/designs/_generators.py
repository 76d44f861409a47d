"""The variants that studies of generators share."""

from dataclasses import replace

from rapidash.generate import Denoising
from rapidash.groups import parse_group
from rapidash.methods import Augment, Objective, Variant
from rapidash.models import RapidashConfig


def generator_ladder(base: RapidashConfig) -> tuple[Variant, ...]:
    """The ladder of symmetries for a generator, all trained by denoising.

    Args:
        base: dimension (of its symmetry), width, depth and grid of all of them.
    """
    dim = parse_group(base.symmetry).dim
    flat, lifted, diffusion = f"R{dim}", f"R{dim}xS{dim - 1}", Denoising()
    oriented = replace(base, symmetry=f"E({dim})", space=lifted)
    chiral = replace(oriented, symmetry=f"SE({dim})")
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
