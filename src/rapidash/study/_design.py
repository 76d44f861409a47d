"""A study as a value: which variants, seeds and data fractions of a task are trained, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import product
from typing import Any

from rapidash._names import unknown_name
from rapidash._plain import content_key, from_plain, is_of, to_plain
from rapidash.methods import Variant, modern_variant
from rapidash.registry import MEASURES
from rapidash.train import WITHOUT_EFFECT, TrainConfig

DESIGN_SCHEMA = 1
_SHARED = ("steps", "batch_size", "eval_every")  # equal for all variants: same updates, same chances of selection


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
    Raises: ValueError for a fraction outside (0, 1], a negative seed or an unknown measure.
    """

    task: str
    variant: Variant
    seed: int
    train: TrainConfig
    fraction: float = 1.0
    task_options: Mapping[str, Any] = field(default_factory=dict)
    measures: tuple[str, ...] = field(default=(), metadata={"absent": ()})

    def __post_init__(self) -> None:
        _check_fraction(self.fraction)
        _check_seed(self.seed)
        _check_measures(self.measures)

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
        return f"{self.variant.name} · seed {self.seed}{part}"


def run_key(plain: Mapping[str, Any]) -> str:
    """`RunConfig.key` of the configuration in a record.

    Raises: as `RunConfig.from_dict`.
    """
    return RunConfig.from_dict(plain).key


def _key(config: RunConfig, labels: tuple[str, ...]) -> str:
    """The hash of a run's content, without these fields of its variant and the settings without effect."""
    plain = to_plain(config, for_key=True)
    variant = {name: value for name, value in plain["variant"].items() if name not in labels}
    train = {name: value for name, value in plain["train"].items() if name not in WITHOUT_EFFECT}
    return content_key({**plain, "variant": variant, "train": train})


@dataclass(frozen=True)
class StudyDesign:
    """A frozen study: task x variants x seeds x data fractions, with the same optimizer steps for all.

    Args:
        task: name of the task.
        variants: what is compared; each names its neighbor, from which it differs in one knob.
        train: settings of the training, for every variant.
        seeds: one run of every variant for each.
        fractions: shares of the training set, each in (0, 1].
        task_options: options of the task.
        train_overrides: by name of a variant, settings in which its training differs, such as its learning rate.
        setting: ``"quick"``, or ``"full"`` for the benchmark's setting; the report says which.
        measures: names in `rapidash.registry.MEASURES`, taken before and after every training.
    Raises: ValueError for no variant or seed, values that occur twice, a neighbor that is not in the study, an
        override of an unknown variant or field, or of a field that all variants must share (steps, batch size,
        validations).
    """

    task: str
    variants: tuple[Variant, ...]
    train: TrainConfig
    seeds: tuple[int, ...] = (0, 1, 2)
    fractions: tuple[float, ...] = (1.0,)
    task_options: Mapping[str, Any] = field(default_factory=dict)
    train_overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    setting: str = "quick"
    measures: tuple[str, ...] = field(default=(), metadata={"absent": ()})

    def __post_init__(self) -> None:
        _check_measures(self.measures)
        names = [variant.name for variant in self.variants]
        for what, values in (("variant", names), ("seed", self.seeds), ("fraction", self.fractions)):
            _check_distinct(what, values)
        for fraction in self.fractions:
            _check_fraction(fraction)
        for seed in self.seeds:
            _check_seed(seed)
        for variant in self.variants:
            if variant.neighbor is not None and variant.neighbor not in names:
                raise ValueError(unknown_name(f"neighbor of variant {variant.name!r}:", variant.neighbor, names))
        for name, override in self.train_overrides.items():
            self._check_override(name, override, names)

    def runs(self) -> list[RunConfig]:
        """Every run: seed by seed, so that a study cut short has compared all variants on its first seeds."""
        return [
            RunConfig(
                self.task, variant, seed, self._train_of(variant), fraction, dict(self.task_options), self.measures
            )
            for fraction, seed, variant in product(sorted(self.fractions, reverse=True), self.seeds, self.variants)
        ]

    def select(self, names: Sequence[str]) -> "StudyDesign":
        """The study of some of its variants; a neighbor that is not selected is forgotten.

        Raises: ValueError for a name that the study does not have, with the nearest one.
        """
        known = {variant.name: variant for variant in self.variants}
        for name in names:
            if name not in known:
                raise ValueError(unknown_name("variant", name, known))
        chosen = (known[name] for name in dict.fromkeys(names))
        variants = tuple(v if v.neighbor in names else replace(v, neighbor=None, knob="") for v in chosen)
        overrides = {name: value for name, value in self.train_overrides.items() if name in names}
        return replace(self, variants=variants, train_overrides=overrides)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, as they stand in ``study.json``."""
        return {"schema": DESIGN_SCHEMA, **to_plain(self)}

    def _train_of(self, variant: Variant) -> TrainConfig:
        return replace(self.train, **self.train_overrides.get(variant.name, {}))

    def _check_override(self, name: str, override: Mapping[str, Any], names: Sequence[str]) -> None:
        if name not in names:
            raise ValueError(unknown_name("variant in train_overrides:", name, names))
        allowed = [entry.name for entry in fields(TrainConfig) if entry.name not in _SHARED]
        for key in override:
            if key in _SHARED:
                raise ValueError(f"train_overrides of {name!r} sets {key!r}, which all variants of a study share")
            if key not in allowed:
                raise ValueError(unknown_name(f"field in train_overrides of {name!r}:", key, allowed))
        replace(self.train, **override)  # TrainConfig checks the values


def _check_distinct(what: str, values: Sequence[Any]) -> None:
    if not values:
        raise ValueError(f"a study needs at least one {what}")
    twice = [value for index, value in enumerate(values) if value in values[:index]]
    if twice:
        raise ValueError(f"{what} {twice[0]!r} occurs twice in the study")


def _check_measures(names: Sequence[str]) -> None:
    for name in names:
        if name not in MEASURES:
            raise ValueError(unknown_name("measure", name, MEASURES))


def _check_fraction(fraction: float) -> None:
    if not is_of(fraction, float) or not 0 < fraction <= 1:
        raise ValueError(f"fraction of the training set must be in (0, 1], got {fraction!r}")


def _check_seed(seed: int) -> None:
    if not is_of(seed, int) or seed < 0:
        raise ValueError(f"seed must be a whole number of at least 0, got {seed!r}")
