"""The views of a run's model: each tested and measured by itself."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from rapidash.data import Dataset, moved
from rapidash.methods import (
    AVERAGED,
    Measurement,
    Moment,
    OrbitAverage,
    Picture,
    Scene,
    Score,
    Subject,
    Supervised,
    Task,
    Variant,
    all_view_names,
    in_eval_mode,
    in_view,
    seen_in_view,
    view_ledger,
    view_names,
)
from rapidash.registry import MEASURES
from rapidash.study._claims import measure_symmetry
from rapidash.study._moves import moves_of_tests
from rapidash.study._run_config import RunConfig
from rapidash.symmetry import Ledger
from rapidash.train import TrainResult

States = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True)
class Measured:
    """Measurements of one view at one moment: errors of its symmetry as a record has them, figures, what is shown."""

    symmetry: dict[str, dict[str, Any]]
    figures: tuple[Measurement, ...]
    pictures: tuple[Picture, ...] = ()
    scenes: tuple[Scene, ...] = ()


@dataclass(frozen=True)
class ViewScore:
    """Scores of one view on test data: as they are, moved by the group of the task, and averaged."""

    plain: Score
    moved: Score | None
    averaged: Score | None


class Views:
    """The views of a variant's model.

    Args:
        task, variant: what was built.
        model: modified by all methods.
    """

    def __init__(self, task: Task, variant: Variant, model: nn.Module) -> None:
        self.task, self.variant = task, variant
        self.names = view_names(variant.methods, model)
        self.primary = variant.primary_view
        everything = all_view_names(variant, model)
        self.ledgers: dict[str, Ledger] = {name: view_ledger(task, variant, name) for name in everything}

    def learn(self, model: nn.Module, best: States) -> None:
        """Let the ledgers say what methods have found, with the weights that the validation of each view chose."""
        self.ledgers = {name: view_ledger(self.task, self.variant, name, model, best) for name in self.ledgers}

    def measured(
        self, model: nn.Module, data: Dataset, config: RunConfig, moment: Moment, *, best: States | None = None
    ) -> dict[str, Measured]:
        """Every view, the averaged one too, by name; with ``best`` each with the weights that its validation chose."""
        found = {}
        for name, ledger in self.ledgers.items():
            with seen_in_view(model, self.task, self.variant, name, best) as shown:
                symmetry = measure_symmetry(shown, self.task, data, ledger)
                subject = Subject(shown, self.task, data, ledger, moment, name, config.seed)
                with in_eval_mode(shown):
                    made = [one for measure in config.measures for one in MEASURES.get(measure)(subject)]
            pictures = tuple(one for one in made if isinstance(one, Picture))
            scenes = tuple(one for one in made if isinstance(one, Scene))
            figures = tuple(one for one in made if isinstance(one, Measurement))
            found[name] = Measured(symmetry, figures, pictures, scenes)
        return found

    def tested(self, model: nn.Module, best: States, train_set: Dataset, config: RunConfig) -> dict[str, ViewScore]:
        """Every view on the test data, which are read here and nowhere else."""
        test_set, moves = self.task.dataset("test"), moves_of_tests(self.task)
        turned = None if moves is None else moved(test_set, moves, config.seed)
        objective = self.variant.objective or Supervised()

        def score(data: Dataset, average: OrbitAverage | None = None) -> Score:
            settings: dict[str, Any] = {"train": train_set, "batch_size": config.train.batch_size, "seed": config.seed}
            found = objective.score(model, self.task, data, average=average, **settings)
            if not math.isfinite(found.error):
                raise FloatingPointError(
                    f"the test error is {found.error}: the model's outputs on test data are not finite"
                )
            return found

        scores = {}
        for name in self.names:
            model.load_state_dict(best[name])
            model.eval()
            with in_view(model, self.variant.methods, name):
                average = self.variant.average if name == self.primary else None
                scores[name] = ViewScore(
                    score(test_set),
                    None if turned is None else score(turned),
                    None if average is None else score(test_set, average),
                )
        return scores

    def of_primary(self, scores: Mapping[str, ViewScore]) -> dict[str, Any]:
        """The test errors of the variant as a record has them."""
        score = scores[self.primary]
        return {
            "test_error": score.plain.error,
            "test_error_rotated": None if score.moved is None else score.moved.error,
            "test_error_tta": None if score.averaged is None else score.averaged.error,
            "test_details": {name: finite_or_none(value) for name, value in score.plain.details.items()},
        }

    def in_record(
        self,
        result: TrainResult,
        scores: Mapping[str, ViewScore],
        before: Mapping[str, Measured],
        after: Mapping[str, Measured],
    ) -> dict[str, Any]:
        """By view, its validation, its test errors, its ledger and the measured errors of its symmetry."""
        record = {}
        for name, ledger in self.ledgers.items():
            step, error = result.best_of_views.get(name, (result.best_step, result.best_val_error))
            score = scores.get(name)
            entry: dict[str, Any] = {"symmetry": ledger.to_dict()}
            if score is not None:
                entry |= {"best_step": step, "val_error": error, "test_error": score.plain.error}
                entry["test_error_rotated"] = None if score.moved is None else score.moved.error
            for moment, measured in (("before", before), ("after", after)):
                entry[f"errors_{moment}"] = measured[name].symmetry
            record[name] = entry
        return record

    def measurements(
        self,
        result: TrainResult,
        scores: Mapping[str, ViewScore],
        units: Mapping[str, str],
        before: Mapping[str, Measured],
        after: Mapping[str, Measured],
    ) -> Iterator[Measurement]:
        """Every figure of the run as one list."""
        metric, unit, moves = units["metric"], units["unit"], moves_of_tests(self.task)
        for view, score in scores.items():
            yield Measurement(f"test error, {metric}", score.plain.error, unit, view=view, better="lower")
            if score.moved is not None and moves is not None:
                name = f"test error on moved data, {metric}"
                yield Measurement(name, score.moved.error, unit, moves.name, view=view, better="lower")
            if score.averaged is not None:
                yield Measurement(f"test error, {metric}", score.averaged.error, unit, view=AVERAGED, better="lower")
            for name, value in score.plain.details.items():
                yield Measurement(name, finite_or_none(value), "", view=view)
        moments: tuple[tuple[Moment, Mapping[str, Measured]], ...] = (("before", before), ("after", after))
        for moment, measured in moments:
            for view, found in measured.items():
                yield from (_error(entry, moment, view) for entry in found.symmetry.values() if "mean" in entry)
                yield from found.figures
        last = result.history[-1]
        for name, value in last.items():
            if name.startswith("value/"):
                yield Measurement(name.removeprefix("value/"), finite_or_none(value), "")
        if result.extra_passes:
            name = "passes of the model for terms of methods, per step"
            yield Measurement(name, result.extra_passes, "1", better="lower")


def _error(entry: Mapping[str, Any], moment: Moment, view: str) -> Measurement:
    return Measurement("equivariance error", entry["mean"], "1", entry["group"], moment, view, "lower")


def finite_or_none(value: float) -> float | None:
    """The number, None for one that JSON cannot hold."""
    return value if math.isfinite(value) else None
