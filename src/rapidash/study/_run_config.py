"""One run of a study as a value, and the name that it has by its content."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from rapidash._names import unknown_name
from rapidash._plain import content_key, from_plain, is_of, to_plain
from rapidash.methods import Variant, modern_variant
from rapidash.registry import MEASURES
from rapidash.study._init import Init, init_for_key
from rapidash.study._level import row_name
from rapidash.train import WITHOUT_EFFECT, TrainConfig


@dataclass(frozen=True)
class RunConfig:
    """Everything that determines the result of one run, as plain values.

    Args:
        task: name of the task, for `rapidash.tasks.get_task`.
        variant: what is trained.
        seed: of weights, data order, subset, augmentation and measurements.
        train: settings of the training.
        fraction: share of the training set in (0, 1]; the subsets of one seed are nested.
        task_options: options of the task.
        measures: names in `rapidash.registry.MEASURES`, taken before and after training beside those of every run.
        level: by name of a factor of the study its value, which is also that of the field: for who reads the record.
        init: where the weights begin; None: fresh ones.
    Raises: ValueError for a fraction outside (0, 1], a negative seed or an unknown measure.
    """

    task: str
    variant: Variant
    seed: int
    train: TrainConfig
    fraction: float = 1.0
    task_options: Mapping[str, Any] = field(default_factory=dict)
    measures: tuple[str, ...] = field(default=(), metadata={"absent": ()})
    level: Mapping[str, Any] = field(default_factory=dict, metadata={"absent": {}})
    init: Init | None = field(default=None, metadata={"absent": None})

    def __post_init__(self) -> None:
        check_fraction(self.fraction)
        object.__setattr__(self, "fraction", float(self.fraction))  # one key for 1 and 1.0
        check_seed(self.seed)
        check_measures(self.measures)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, as they stand in a record."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "RunConfig":
        """The configuration of a record, also of one that an earlier version wrote.

        Raises: ValueError for an unknown or missing field, or a value that is not allowed; PluginError for something of
            another package that cannot be imported.
        """
        if not isinstance(plain.get("variant"), Mapping):
            raise ValueError("not the configuration of a run: it has no variant")
        return from_plain(cls, {**plain, "variant": modern_variant(plain["variant"])}, complete=True)

    @cached_property
    def key(self) -> str:
        """The run's name: a hash of its content, without what does not change the result."""
        return _key(self, ("neighbor", "knob"))

    @cached_property
    def training_key(self) -> str:
        """A hash of what determines the weights: all but names, measures and methods that act at test time only."""
        methods = tuple(method for method in self.variant.methods if method.acts_in_training())
        trained = replace(self, variant=replace(self.variant, methods=methods), measures=())
        return _key(trained, ("name", "neighbor", "knob"))

    @property
    def label(self) -> str:
        """The run in words, e.g. ``E(3) on R3 · seed 0``."""
        part = "" if self.fraction == 1 else f" · {self.fraction:g} of the data"
        return f"{row_name(self.variant.name, self.level)} · seed {self.seed}{part}"


def run_key(plain: Mapping[str, Any]) -> str:
    """`RunConfig.key` of the configuration in a record.

    Raises: as `RunConfig.from_dict`.
    """
    return RunConfig.from_dict(plain).key


def _key(config: RunConfig, labels: tuple[str, ...]) -> str:
    """The hash of a run's content, without its level, these fields of its variant and the settings without effect."""
    plain = to_plain(config, for_key=True)
    variant = {name: value for name, value in plain["variant"].items() if name not in labels}
    train = {name: value for name, value in plain["train"].items() if name not in WITHOUT_EFFECT}
    content = {**plain, "variant": variant, "train": train}
    if config.init is not None:
        content["init"] = init_for_key(config.init)
    return content_key({name: value for name, value in content.items() if name != "level"})


def check_measures(names: Sequence[str]) -> None:
    """Raises: ValueError for one that is not registered."""
    for name in names:
        if name not in MEASURES:
            raise ValueError(unknown_name("measure", name, MEASURES))


def check_fraction(fraction: float) -> None:
    """Raises: ValueError for what is no share."""
    if not is_of(fraction, float) or not 0 < fraction <= 1:
        raise ValueError(f"fraction of the training set must be in (0, 1], got {fraction!r}")


def check_seed(seed: int) -> None:
    """Raises: ValueError for what is no whole number of at least 0."""
    if not is_of(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, got {seed!r}")
