"""The variants of a race: those of a study, and around them the rungs, the axis and the methods that it lacks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rapidash.groups import AxisRotations, Group, parse_group
from rapidash.methods import Augment, Task, Variant
from rapidash.models import RapidashConfig
from rapidash.relax import ACE
from rapidash.symmetrize import FrameAveraging

_EXTRA: Final = " + "


def candidates(variants: Sequence[Variant], *, axis: str | None = None) -> tuple[Variant, ...]:
    """The variants that are raced, each by name.

    Of a study: those whose network is that of `rapidash.models.RapidashConfig`. Beside them, where they are missing and
    one of them is on R^D, or on R^D x S^(D-1): all motions without mirrors, in space turns about one axis, no turns, no
    turns with turned samples, no turns within frames, and free branches that dual ascent closes.

    Args:
        variants: of a study.
        axis: about which turns are kept; None: z, unless a variant of the study keeps an axis already.
    Raises: ValueError where no variant has such a network.
    """
    own = [replace(v, neighbor=None, knob="") for v in variants if isinstance(v.model, RapidashConfig)]
    if not own:
        names = ", ".join(variant.name for variant in variants)
        raise ValueError(f"advice is about rapidash networks, and the study has none: {names}")
    found = {variant.name: variant for variant in own}
    lifted = next((v for v in own if "x" in v.model.space and not v.methods and not v.inputs), None)
    flat = next((v for v in own if "x" not in v.model.space and not v.methods and not v.inputs), None)
    if axis is None and not any(isinstance(_linear(variant), AxisRotations) for variant in own):
        axis = "z"
    for variant in _added(lifted, flat, axis):
        if not any(_same(variant, other) for other in found.values()):
            found[variant.name] = variant
    return tuple(found.values())


def _added(lifted: Variant | None, flat: Variant | None, axis: str | None) -> list[Variant]:
    made = []
    if lifted is not None:
        dim = parse_group(lifted.model.symmetry).dim
        space = lifted.model.space
        made.append(_changed(lifted, f"SE({dim}) on {space}", symmetry=f"SE({dim})"))
        root = _changed(lifted, f"E({dim}) on {space}", symmetry=f"E({dim})")
        made.append(replace(root, name=f"{root.name}{_EXTRA}ace", methods=(ACE(),)))
    if flat is not None:
        dim = parse_group(flat.model.symmetry).dim
        space = flat.model.space
        made.append(_changed(flat, f"E({dim}) on {space}", symmetry=f"E({dim})"))
        plain = _changed(flat, f"T({dim}) on {space}", symmetry=f"T({dim})")
        if dim == 3 and axis is not None:
            made.append(_changed(flat, f"SO2({axis}) on {space}", symmetry=f"SO2({axis})"))
        made.append(plain)
        made.append(replace(plain, name=f"{plain.name}{_EXTRA}rotations", methods=(Augment(f"SO({dim})"),)))
        made.append(replace(plain, name=f"{plain.name}{_EXTRA}frames", methods=(FrameAveraging(f"SO({dim})"),)))
    return made


def _linear(variant: Variant) -> object:
    return parse_group(variant.model.symmetry).linear


def _changed(variant: Variant, name: str, *, symmetry: str) -> Variant:
    assert isinstance(variant.model, RapidashConfig)
    return replace(variant, name=name, model=replace(variant.model, symmetry=symmetry))


def _same(first: Variant, second: Variant) -> bool:
    kinds = [tuple(method.kind for method in variant.methods) for variant in (first, second)]
    return (first.model, first.inputs) == (second.model, second.inputs) and kinds[0] == kinds[1]


def kept_group(task: Task, variant: Variant) -> Group | None:
    """The effective symmetry of a variant with its inputs and methods; None for one that is no group of motions."""
    ledger = task.ledger(variant)
    for method in variant.methods:
        ledger = method.ledger(ledger, variant.primary_view)
    return ledger.effective if isinstance(ledger.effective, Group) else None


def amount_of_symmetry(task: Task, variant: Variant) -> float:
    """How large the group of turns is that a variant keeps or is shown: its dimension, and a half more for mirrors.

    Samples that are moved by a group count for half of it: the network is only taught.
    """
    group = kept_group(task, variant)
    kept = 0.0 if group is None else _size(group)
    taught = [method.group for method in variant.methods if isinstance(method, Augment)]
    return max(kept, *(0.5 * _size(parse_group(name.replace(" about the origin", ""))) for name in taught), 0.0)


def _size(group: Group) -> float:
    elements = group.linear.sample(8, group.dim, None)
    has_mirrors = bool((elements.det() < 0).any())
    return len(group.linear.generators(group.dim)) + 0.5 * has_mirrors
