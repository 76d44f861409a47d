"""The symmetry ledger: the effective symmetry of a network together with its inputs, and the reasons for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from rapidash.groups import SO, Group, MatrixGroup, O, enumerated, trivial
from rapidash.symmetry._inputs import GeometricInput


@dataclass(frozen=True)
class Ledger:
    """The symmetry of the layers, and the part of it that is left once the inputs are in.

    Args:
        layers: symmetry of the layers, from what their kernels see.
        effective: symmetry of the whole function from clouds (and poses) to outputs.
        reasons: one sentence for the layers and for each input.
        exact: whether the effective symmetry holds in floating point, not only up to the orientation grid; a reason
            names clouds that are exceptions.
        oracle: whether a pose is given from outside, which at test time is knowledge that others do not have.
        exact_part: where ``exact`` is False, the part of ``effective`` that does hold in floating point, if known.
        exactness: those of the reasons that say how exactly the symmetry holds: a measurement can refute them.
    """

    layers: MatrixGroup
    effective: MatrixGroup
    reasons: tuple[str, ...]
    exact: bool
    oracle: bool
    exact_part: MatrixGroup | None = None
    exactness: tuple[str, ...] = ()

    @property
    def claimed_exactly(self) -> MatrixGroup | None:
        """The group whose every element leaves nothing but rounding, so that a measurement can refute the claim."""
        return self.effective if self.exact else self.exact_part

    @property
    def keeps(self) -> tuple[str, ...]:
        """Those of "rotations" and "reflections" of space that the effective symmetry has in full."""
        group = self.effective
        if not isinstance(group, Group):
            return ()
        wholes = {"rotations": SO(group.dim), "reflections": O(group.dim)}
        return tuple(part for part, whole in wholes.items() if whole.is_subgroup(group))

    @property
    def is_trivial(self) -> bool:
        """Whether nothing but the identity is left."""
        elements = enumerated(self.effective)
        return elements is not None and len(elements) == 1

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a record: names for people, and what a program asks as fields of their own."""
        return {
            "layers": self.layers.name,
            "effective": self.effective.name,
            "reasons": list(self.reasons),
            "exact": self.exact,
            "oracle": self.oracle,
            "exactness": list(self.exactness),
            "keeps": list(self.keeps),
            "is_trivial": self.is_trivial,
        }

    def __str__(self) -> str:
        return f"{self.effective.name}: " + "; ".join(self.reasons)


def symmetry_ledger(
    layers: Group, inputs: Sequence[GeometricInput] = (), *, exact: Group | None = None, except_for: str = ""
) -> Ledger:
    """The effective symmetry of layers with the given inputs.

    An input keeps those motions under which what the network receives changes as the network assumes: scalars not
    at all, vectors by the rotation. The effective symmetry is the intersection over all inputs.

    Args:
        layers: symmetry of the layers, ``model.symmetry``.
        inputs: the geometric inputs; those that are absent break nothing.
        exact: the part of ``layers`` that holds in floating point, ``model.exact_symmetry``; default: all of it.
        except_for: clouds on which nothing holds exactly, in words, ``model.tie_exception``: a reason says so.
    """
    effective, reasons = layers, [f"the kernels see only what {layers} leaves unchanged"]
    exact = layers if exact is None else exact
    for entry in inputs:
        kept, what_happens, breaks = _kept_by(entry, effective)
        if kept != effective:
            reasons.append(f"{what_happens}: {effective} is reduced to {kept}")
        elif breaks:
            reasons.append(f"{what_happens}, of which {effective} has none")
        else:
            reasons.append(f"{what_happens}: nothing is lost")
        effective = kept
        exact = _kept_by(entry, exact)[0]
    is_exact = effective.is_subgroup(exact)
    exactness = []
    if not is_exact:
        exactness.append("rotations hold exactly for those of the orientation grid, approximately for the others")
    if except_for:
        exactness.append(f"not exact for {except_for}")
    reasons += exactness
    oracle = any(entry.quantity == "pose" for entry in inputs)
    if oracle:
        reasons.append("the pose comes from outside (an oracle), and motions act on cloud and pose together")
    exact_part = None if is_exact else exact
    return Ledger(layers, effective, tuple(reasons), is_exact, oracle, exact_part, tuple(exactness))


def _kept_by(entry: GeometricInput, group: Group) -> tuple[Group, str, bool]:
    """The subgroup that one input leaves, what the input does in words, and whether it breaks any motion at all."""
    axes = torch.eye(group.dim, dtype=torch.float64)
    where = f"{entry.name} as {entry.enters_as}"
    match entry.quantity, entry.enters_as:
        case "position", "scalars":
            return trivial(group.dim), f"{where} change under motions", True
        case "position", _:
            return group.without_translations(), f"{where} change under translations", True
        case (("vector" | "pose"), "scalars"):
            return group.stabilizer(axes), f"{where} change under rotations", True
        case (("vector" | "pose"), _):
            return group, f"{where} turn with the cloud", False
        case "height", _:
            kept = group.keeping_height(entry.directions[0])
            return kept, f"{where} changes when the cloud tilts or moves along its direction", True
        case "constant", "vectors":
            directions = torch.tensor(entry.directions, dtype=torch.float64)
            return group.stabilizer(directions), f"{where} do not turn with the cloud under rotations", True
        case _:
            return group, f"{where} do not change", False
