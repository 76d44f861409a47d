"""Frame averaging: a network is trained and tested as its average over the principal frames of each cloud."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from rapidash.data import Batch
from rapidash.groups import parse_matrix_group
from rapidash.methods import DrawControl, SymmetrizingMethod, Task
from rapidash.symmetrize._frames import Frames, frame_gap
from rapidash.symmetrize._points import rotations_of


@dataclass(frozen=True)
class FrameAveraging(SymmetrizingMethod):
    """Trains and tests the average over the frames of principal axes of each cloud: exactly equivariant, see `Frames`.

    With reflections there are 8 frames in space, so a step costs 8 passes, without them 4. How many samples of the last
    batch have frames that are as good as undetermined is in the history, as ``"degenerate frames"``.

    Args:
        group: O(n), SO(n), E(n) or SE(n).
        weighted: whether frames of pairs of points take over near equal eigenvalues, which makes the average continuous
            and many times as expensive there.
    Raises: ValueError for another group.
    Source: Puny et al., "Frame Averaging for Invariant and Equivariant Network Design", ICLR 2022.
    """

    weighted: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self.frames()

    def frames(self) -> Frames:
        """The law; degenerate samples are counted by the control, and no warning is given."""
        return Frames(parse_matrix_group(self.group), weighted=self.weighted, degenerate="ignore")

    def law(self, task: Task) -> Frames:
        """All frames."""
        return self.frames()

    @property
    def is_exact(self) -> bool:
        """But for degenerate clouds."""
        return True

    def exception(self) -> str:
        """Clouds without principal axes."""
        return "clouds on a line" if self.weighted else "clouds with two equal second moments: there rounding decides"

    def in_words(self) -> str:
        """Which elements."""
        return f"all {'weighted ' if self.weighted else ''}frames of {self.group}, principal axes with their signs"

    def control(self, model: nn.Module, total_steps: int) -> "FrameControl":
        """Counts degenerate samples."""
        return FrameControl(self, model)


class FrameControl(DrawControl):
    """Says of how many samples of the last batch the frames are as good as undetermined."""

    method: FrameAveraging

    def __init__(self, method: FrameAveraging, model: nn.Module) -> None:
        super().__init__(method, model)
        self._last: Batch | None = None

    def batch(self, batch: Batch, rng: torch.Generator) -> Batch:
        """The same batch."""
        self._last = batch
        return super().batch(batch, rng)

    def values(self) -> Mapping[str, float]:
        """Share of the samples whose gap is below the tolerance of `Frames`."""
        if self._last is None:
            return {"degenerate frames": 0.0}
        frames = self.method.frames()
        gap = frame_gap(self._last, dim=rotations_of(frames.group)[0], weighted=frames.weighted)
        return {"degenerate frames": float((gap <= frames.tolerance).double().mean())}
