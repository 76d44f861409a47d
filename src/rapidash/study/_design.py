"""A study as a value: which variants, seeds, data fractions and levels of other factors are trained, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from typing import Any, Literal, get_args

from rapidash._names import unknown_name
from rapidash._plain import to_plain
from rapidash.methods import Variant
from rapidash.study._factors import as_levels, at_level, checked_factor
from rapidash.study._init import Init
from rapidash.study._level import Level, grid
from rapidash.study._run_config import RunConfig, check_fraction, check_measures, check_seed
from rapidash.tasks import option_types
from rapidash.train import TrainConfig

DESIGN_SCHEMA = 1
Equal = Literal["steps", "time", "flops"]
_SEEDS, _FRACTIONS = (0, 1, 2), (1.0,)
_SHARED = ("steps", "batch_size", "eval_every")  # equal for all variants: same updates, same chances of selection


@dataclass(frozen=True)
class StudyDesign:
    """A frozen study: task x variants x seeds x data fractions x levels of other factors.

    Variants are compared within a level, never across. All have the same optimizer steps, or the same time or
    operations for their training, see `rapidash.study.run_study`.

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
        factors: by name, the values of further knobs, of which every combination is run: ``model.FIELD`` of the
            networks of all variants, ``train.FIELD``, ``task.OPTION``. ``seed`` and ``fraction`` may stand here too, in
            place of ``seeds`` and ``fractions``. A factor is set nowhere else, and the variants do not differ in it.
        equal: what the variants have in common at a level: ``"steps"`` of the optimizer, ``"time"`` or ``"flops"`` of
            the training, which are then those of the first variant.
        budget_of: the variant whose time or operations all have; None is the first one. A part of a study
            (`StudyDesign.select`) has the budget of the whole.
        seed_option: an option of the task that has the seed of every run, such as ``"data_seed"``, so that each seed
            has data of its own; None: all have the same.
        inits: by name of a variant, where its weights begin: a saved model, or a pre-training, see `Pretrained`; those
            of other variants are fresh.
        name: under which `get_design` has it, for ``rapidash study NAME``; empty for a study of no name. It decides no
            result.
    Raises: ValueError for no variant or seed, values that occur twice, a neighbor that is not in the study, an
        override of an unknown variant or field, or of a field that all variants must share (steps, batch size,
        validations) or that is a factor; an unknown factor, or a value of another type than its knob; the factor
        ``train.steps`` where not the steps are equal; a factor in which variants differ, or that is set elsewhere too.
    """

    task: str
    variants: tuple[Variant, ...]
    train: TrainConfig
    seeds: tuple[int, ...] = _SEEDS
    fractions: tuple[float, ...] = _FRACTIONS
    task_options: Mapping[str, Any] = field(default_factory=dict)
    train_overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    setting: str = "quick"
    measures: tuple[str, ...] = field(default=(), metadata={"absent": ()})
    factors: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, metadata={"absent": {}})
    equal: Equal = field(default="steps", metadata={"absent": "steps"})
    budget_of: Variant | None = field(default=None, metadata={"absent": None})
    seed_option: str | None = field(default=None, metadata={"absent": None})
    inits: Mapping[str, Init] = field(default_factory=dict, metadata={"absent": {}})
    name: str = field(default="", metadata={"absent": ""})

    def __post_init__(self) -> None:
        self._name_factors()
        check_measures(self.measures)
        names = [variant.name for variant in self.variants]
        for what, values in (("variant", names), ("seed", self.seeds), ("fraction", self.fractions)):
            _check_distinct(what, values)
        for fraction in self.fractions:
            check_fraction(fraction)
        object.__setattr__(self, "fractions", tuple(map(float, self.fractions)))
        for seed in self.seeds:
            check_seed(seed)
        for variant in self.variants:
            if variant.neighbor is not None and variant.neighbor not in names and self.budget_of is None:
                raise ValueError(unknown_name(f"neighbor of variant {variant.name!r}:", variant.neighbor, names))
        for name, override in self.train_overrides.items():
            self._check_override(name, override, [*names, self._first.name])
        for name in self.inits:
            if name not in [*names, self._first.name]:
                raise ValueError(unknown_name("variant in inits:", name, [*names, self._first.name]))
        if self.equal not in get_args(Equal):
            raise ValueError(unknown_name("equal:", str(self.equal), get_args(Equal)))
        if self.equal != "steps" and "train.steps" in self.factors:
            raise ValueError(
                f"equal={self.equal!r} gives every variant steps of its own: 'train.steps' cannot be a factor beside it"
            )
        measured = {} if self.equal == "steps" else {self._first.name: self._first}
        variants = (measured | {variant.name: variant for variant in self.variants}).values()
        factors = {}
        for name, values in self.factors.items():
            _check_distinct(f"value of factor {name!r}:", values)
            factors[name] = checked_factor(name, values, task=self.task, variants=variants)
        object.__setattr__(self, "factors", factors)
        if self.seed_option is not None:
            self._check_seed_option(self.seed_option)
        for level, variant in product(grid(self.factors), variants):
            at_level(level, variant, self._train_of(variant), self.task_options)

    def _name_factors(self) -> None:
        """Factors with tuples of values; seed and fraction among them are the fields of their own."""
        factors = as_levels(self.factors)
        for name, own, default in (("seed", "seeds", _SEEDS), ("fraction", "fractions", _FRACTIONS)):
            if name in factors:
                if (given := tuple(getattr(self, own))) not in (default, factors[name]):
                    raise _set_twice(name, factors[name], own, given)
                object.__setattr__(self, own, factors.pop(name))
        for knob, value in self.task_options.items():
            if factors.get(name := f"task.{knob}", (value,)) != (value,):
                raise _set_twice(name, factors[name], f"task_options[{knob!r}]", value)
        object.__setattr__(self, "factors", factors)

    def runs(self) -> list[RunConfig]:
        """Every run: seed by seed, so that a study cut short has compared all variants on its first seeds."""
        fractions = sorted(self.fractions, reverse=True)
        return [
            self._run(variant, level, seed, fraction)
            for fraction, seed, level, variant in product(fractions, self.seeds, grid(self.factors), self.variants)
        ]

    def budget_runs(self) -> list[RunConfig]:
        """A run at every level of the variant whose time or operations all have: of the first seed and all data."""
        return [self._run(self._first, level, self.seeds[0], max(self.fractions)) for level in grid(self.factors)]

    @property
    def _first(self) -> Variant:
        first = self.budget_of or self.variants[0]
        return next((variant for variant in self.variants if variant.name == first.name), first)

    def _run(self, variant: Variant, level: Level, seed: int, fraction: float) -> RunConfig:
        changed, train, options = at_level(level, variant, self._train_of(variant), self.task_options)
        if self.seed_option is not None:
            options = {**options, self.seed_option: seed}
        init = self.inits.get(variant.name)
        return RunConfig(self.task, changed, seed, train, fraction, options, self.measures, level, init)

    def select(self, names: Sequence[str]) -> "StudyDesign":
        """The study of some of its variants, with the budget of the whole.

        A neighbor that is not among them keeps its name: another part may have it, and go on in the same folder.

        Raises: ValueError for a name that the study does not have, with the nearest one.
        """
        known = {variant.name: variant for variant in self.variants}
        for name in names:
            if name not in known:
                raise ValueError(unknown_name("variant", name, known))
        variants = tuple(known[name] for name in dict.fromkeys(names))
        kept = {self._first.name, *names}
        overrides = {name: value for name, value in self.train_overrides.items() if name in kept}
        inits = {name: init for name, init in self.inits.items() if name in kept}
        return replace(self, variants=variants, train_overrides=overrides, budget_of=self._first, inits=inits)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, as they stand in ``study.json``: a part of a study is written as a study of its own."""
        plain = {"schema": DESIGN_SCHEMA, **to_plain(self)}
        del plain["budget_of"]
        return plain

    def _train_of(self, variant: Variant) -> TrainConfig:
        return replace(self.train, **self.train_overrides.get(variant.name, {}))

    def _check_seed_option(self, name: str) -> None:
        known = option_types(self.task)
        if name not in known:
            raise ValueError(unknown_name(f"option of task {self.task!r} in seed_option:", name, known))
        if name in self.task_options or f"task.{name}" in self.factors:
            raise ValueError(f"seed_option {name!r} has the seed of every run: it stands in no other place")

    def _check_override(self, name: str, override: Mapping[str, Any], names: Sequence[str]) -> None:
        if name not in names:
            raise ValueError(unknown_name("variant in train_overrides:", name, names))
        allowed = [entry.name for entry in fields(TrainConfig) if entry.name not in _SHARED]
        for key in override:
            if key in _SHARED:
                raise ValueError(f"train_overrides of {name!r} sets {key!r}, which all variants of a study share")
            if f"train.{key}" in self.factors:
                raise ValueError(f"train_overrides of {name!r} sets {key!r}, which is a factor of the study")
            if key not in allowed:
                raise ValueError(unknown_name(f"field in train_overrides of {name!r}:", key, allowed))
        replace(self.train, **override)  # TrainConfig checks the values


def _set_twice(factor: str, values: Sequence[Any], place: str, value: Any) -> ValueError:
    return ValueError(f"factor {factor!r} has the values {list(values)}, but {place} is {value!r}: give one of them")


def _check_distinct(what: str, values: Sequence[Any]) -> None:
    if not values:
        raise ValueError(f"a study needs at least one {what.rstrip(':')}")
    twice = [value for index, value in enumerate(values) if value in values[:index]]
    if twice:
        raise ValueError(f"{what} {twice[0]!r} occurs twice in the study")
