"""The study of a user's own data: which motions do the labels tolerate, and how far?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rapidash.learn import Augerino
from rapidash.methods import Variant
from rapidash.models import TransformerConfig
from rapidash.study._design import StudyDesign
from rapidash.tasks.own_clouds import own_clouds_options
from rapidash.train import TrainConfig

START = 0.1  # half-width of every motion at the start


def make_design(full: bool) -> StudyDesign:
    """The study without files: on generated clouds of the plane, of which the truth is known."""
    options = {"num_train": 1000, "num_val": 300, "num_test": 500}
    return _design("partial-symmetry", options, 2, full)


def own_design(
    files: Sequence[str | Path], target: str | None, *, full: bool, **others: Any
) -> tuple[StudyDesign, list[str]]:
    """The study of clouds in files, and sentences that say what was found in them.

    Args:
        files, target, others: as of `rapidash.tasks.own_clouds.own_clouds_options`.
        full: the long setting.
    Raises: ValueError, FileNotFoundError and DataError as those options.
    """
    options, said = own_clouds_options(files, target, **others)
    return _design("own-clouds", options, options["dim"], full), said


def _design(task: str, options: dict[str, Any], dim: int, full: bool) -> StudyDesign:
    """A transformer without moves, and with the half-widths of `rapidash.groups.affine` learned at two weights.

    The network sees places (of files: absolute ones), so that it has no motion from the beginning. Quick: 1,000 steps,
    three seeds. Full: 4,000 steps, five seeds.
    """
    network = TransformerConfig(symmetry=f"T({dim})", channels=32, num_layers=2)

    def learned(weight: float, neighbor: str, knob: str) -> Variant:
        method = Augerino(f"affine({dim})", START, weight=weight)
        return Variant(f"learned, weight {weight:g}", network, methods=(method,), neighbor=neighbor, knob=knob)

    variants = (
        Variant("no move", network),
        learned(0.0, "no move", "half-widths learned without a penalty"),
        learned(0.02, "learned, weight 0", "a penalty that opens them"),
    )
    steps = 4000 if full else 1000
    train = TrainConfig(
        steps=steps,
        batch_size=32,
        learning_rate=1e-3,
        weight_decay=1e-4,
        warmup_steps=50,
        ema_decay=0.99,
        eval_every=steps // 8,
        checkpoint_every=steps // 2,
    )
    seeds = (0, 1, 2, 3, 4) if full else (0, 1, 2)
    setting = "full" if full else "quick"
    return StudyDesign(task, variants, train, seeds, task_options=options, setting=setting, measures=("motion-spread",))
