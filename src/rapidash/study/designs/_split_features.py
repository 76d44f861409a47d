"""The arms of studies of split features: learned, with other codes of the motion, without a split, untrained, given."""

from dataclasses import replace

from rapidash.methods import Variant
from rapidash.models import NetworkConfig
from rapidash.represent import SplitInvariantEquivariant, Untrained

PART = 32  # features of each part


def learned_split() -> SplitInvariantEquivariant:
    """SIE with the matrix of the motion."""
    return SplitInvariantEquivariant(invariant_dim=PART, equivariant_dim=PART)


def without_split() -> SplitInvariantEquivariant:
    """VICReg, of as many features."""
    return SplitInvariantEquivariant(invariant_dim=2 * PART)


def split_arms(
    network: NetworkConfig, turning: NetworkConfig | None, *, has_quaternions: bool = True
) -> tuple[Variant, ...]:
    """The variants.

    Args:
        network: without rotations.
        turning: a network with vectors as outputs; None: no variant whose split is given.
        has_quaternions: compare codes of the motion.
    """
    split = learned_split()
    fresh = Untrained(invariant_dim=PART, equivariant_dim=PART)
    real = "SIE, quaternion"
    quaternions = (
        Variant(
            real,
            network,
            objective=replace(split, encoding="quaternion"),
            neighbor="SIE",
            knob="a quaternion with a real part of at least 0 in place of the matrix",
        ),
        Variant(
            "SIE, raw quaternion",
            network,
            objective=replace(split, encoding="raw quaternion"),
            neighbor=real,
            knob="a quaternion of either sign",
        ),
    )
    arms = (
        Variant("SIE", network, objective=split),
        Variant("VICReg", network, objective=without_split(), neighbor="SIE", knob="no equivariant part"),
        *(quaternions if has_quaternions else ()),
        Variant("untrained", network, objective=fresh, neighbor="SIE", knob="random weights"),
    )
    if turning is None:
        return arms
    given = replace(split, equivariant_dim=PART + 1, has_vectors=True)  # a multiple of 3
    return (*arms, Variant("split by construction", turning, objective=given))  # scalars and vectors of another network
