"""The cells on which the rule was chosen, and those on which it was tried afterwards: data sets in several sizes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from rapidash.datasets import PLANTED_GROUPS
from rapidash.models import RapidashConfig
from rapidash.study import StudyDesign, get_design
from rapidash.study.designs.solids import make_design as solids_design

Half = Literal["fit", "try", "planted"]
HALVES: Final[tuple[Half, ...]] = ("fit", "try", "planted")


@dataclass(frozen=True)
class Cell:
    """A task with its size: one case for the rule.

    Args:
        half: "fit", on which the rule is chosen; "try", on which it is tried; "planted", whose truth is known.
        data: the data set; none is in both halves.
        design: name of the study whose variants are raced.
        options: of the task, beside those of the study.
        truth: the planted group; empty where nobody knows it.
    """

    half: Half
    data: str
    design: str
    options: Mapping[str, Any] = field(default_factory=dict)
    truth: str = ""

    @property
    def name(self) -> str:
        """Unique, and a name for a folder."""
        said = [f"{key}-{value}" for key, value in self.options.items() if key not in ("num_val", "num_test")]
        text = "_".join([self.design, *said])
        return "".join(sign if sign.isalnum() or sign in "-_." else "" for sign in text)

    def study(self) -> StudyDesign:
        """The study of the task in this size, with every variant of the quick setting."""
        if self.design == "planted-groups":
            design = replace(solids_design(False), task="planted-groups", task_options={})
        elif self.design == "planted":
            design = replace(solids_design(False), task="planted", task_options={})
        else:
            design = get_design(self.design)
        variants = tuple(
            replace(variant, neighbor=None, knob="")
            for variant in design.variants
            if isinstance(variant.model, RapidashConfig)
        )
        return replace(
            design,
            variants=variants,
            train_overrides={},
            task_options={**design.task_options, **self.options},
            factors={},
            measures=(),
            seed_option=None,
        )


def _sizes(half: Half, data: str, design: str, sizes: tuple[int, ...], **options: Any) -> list[Cell]:
    return [Cell(half, data, design, {**options, "num_train": size}) for size in sizes]


_SMALL: Final = {"num_val": 250, "num_test": 500}

CELLS: Final[tuple[Cell, ...]] = (
    *_sizes("fit", "solids", "solids", (100, 400, 1600), **_SMALL),
    *_sizes("fit", "QM9", "qm9", (300, 2000), **_SMALL),
    *_sizes("fit", "CMU motion", "cmu", (60, 198)),
    *_sizes("fit", "CMU motion", "cmu", (100,), motion="run"),
    *_sizes("fit", "shapes of 69 classes", "shapes", (300, 1200)),
    *_sizes("fit", "planted turns", "planted", (300,), symmetry="full", **_SMALL),
    *_sizes("fit", "planted turns", "planted", (300,), symmetry="none", **_SMALL),
    *_sizes("try", "charged particles", "nbody", (100, 1000), **_SMALL),
    *_sizes("try", "charged particles", "nbody", (300,), uniform_field=0.3, **_SMALL),
    *_sizes("try", "molecular dynamics", "md", (100, 900)),
    *_sizes("try", "ModelNet10", "modelnet10", (300, 1500)),
    *_sizes("try", "digits", "mnist-sp", (300, 2000), num_val=250, num_test=1000),
    *_sizes("try", "segmented meshes", "meshseg", (200,)),
    *_sizes("try", "planted groups", "planted-groups", (400,), group="SE(3)", data_seed=0),
    *_sizes("try", "planted groups", "planted-groups", (400,), group="O2(z)", data_seed=0),
)

PLANTED_SEEDS: Final = tuple(range(101, 107))
"""Seeds of templates and samples that nothing was chosen on."""

PLANTED_CELLS: Final[tuple[Cell, ...]] = tuple(
    Cell("planted", "planted groups", "planted-groups", {"group": group, "data_seed": seed}, truth=group)
    for group in PLANTED_GROUPS
    for seed in PLANTED_SEEDS
)


def cells_of(half: Half) -> tuple[Cell, ...]:
    """The cells of one half, or those whose truth is known.

    Raises: ValueError for another half.
    """
    if half not in HALVES:
        raise ValueError(f"half must be one of {HALVES}, got {half!r}")
    return tuple(cell for cell in (*CELLS, *PLANTED_CELLS) if cell.half == half)
