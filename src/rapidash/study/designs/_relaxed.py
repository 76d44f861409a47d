"""The arms that studies of relaxed equivariance share: how a network that is built symmetric is let off it."""

from dataclasses import replace

from rapidash.methods import Variant
from rapidash.relax import ACE, REMUL, ConstraintRelaxation, GradNorm, ResidualPathwayPrior

UNGATED = ResidualPathwayPrior(free=0.0, eq=0.0, scale=1.0)
RPP = ResidualPathwayPrior(free=1e-3, eq=1e-6)


def relaxed_variants(root: Variant, *, hidden: int = 64) -> dict[str, Variant]:
    """By the name of the method, the root with free branches beside its blocks: each a knob away from the root."""
    arms = {
        "ungated": (replace(UNGATED, hidden=hidden), "free branches of full strength, kept"),
        "RPP": (replace(RPP, hidden=hidden), "free branches whose weights have a prior, kept"),
        "CR": (ConstraintRelaxation(), "free linear maps on a schedule, dropped in the end"),
        "ACE": (ACE(hidden=hidden), "free branches that dual ascent closes, dropped in the end"),
        "ACE resilient": (
            ACE(hidden=hidden, form="resilient"),
            "free branches that dual ascent closes as far as the data let it, kept",
        ),
    }
    return {
        name: replace(root, name=f"{root.name} + {name}", methods=(method,), neighbor=root.name, knob=knob)
        for name, (method, knob) in arms.items()
    }


def penalized_variants(plain: Variant) -> tuple[Variant, ...]:
    """A network without the symmetry and the moved sample as a second task: three constant weights, and GradNorm.

    Motions are all rotations, also where the data keep a part of them only: the weight says how much symmetry is asked.
    """
    constant = tuple(
        replace(
            plain,
            name=f"{plain.name} + REMUL {weight:g}",
            methods=(REMUL(weight, "SO(3)"),),
            neighbor=plain.name,
            knob=f"the moved sample as a second task, weight {weight:g}",
        )
        for weight in (0.1, 1.0, 10.0)
    )
    balanced = replace(
        constant[1],
        name=f"{plain.name} + REMUL, GradNorm",
        methods=(REMUL(1.0, "SO(3)", balance=GradNorm()),),
        neighbor=constant[1].name,
        knob="GradNorm moves both weights",
    )
    return (*constant, balanced)
