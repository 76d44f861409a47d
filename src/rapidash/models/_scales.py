"""The order of the blocks of a multi-scale network, and their widths."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple


class Step(NamedTuple):
    """One block's place in the network: which edges it runs on, and what it does with the skip connections."""

    stage: Literal["scale", "down", "up"]
    scale: int


def block_order(depths: Sequence[int], *, has_way_up: bool) -> list[Step]:
    """Blocks at each scale and between scales, downward, and for node-level outputs of several scales back up."""
    steps = []
    for scale, depth in enumerate(depths):
        steps += [Step("scale", scale)] * depth
        if scale < len(depths) - 1:
            steps.append(Step("down", scale))
    if has_way_up and len(depths) > 1:
        steps += [Step("up", s.scale) if s.stage == "down" else s for s in reversed(steps)]
    return steps


def block_widths(steps: Sequence[Step], widths: Sequence[int]) -> list[tuple[int, int]]:
    """Input and output channels of every block: only the blocks between scales change the width."""
    change = {"scale": (0, 0), "down": (0, 1), "up": (1, 0)}
    return [tuple(widths[step.scale + shift] for shift in change[step.stage]) for step in steps]  # type: ignore[misc]


def per_scale(name: str, value: object, num_scales: int) -> list[Any]:
    """One entry for each scale from a single value or a list of the right length; ValueError for another length."""
    if not isinstance(value, (list, tuple)):
        return [value] * num_scales
    if len(value) != num_scales:
        raise ValueError(f"{name} has {len(value)} entries, expected {num_scales}: one per scale (ratios: between)")
    return list(value)
