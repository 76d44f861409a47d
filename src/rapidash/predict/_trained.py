"""A trained model with all that is needed to apply it: saved in a folder, read again, and used on files."""

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rapidash._deprecated import warn_deprecated
from rapidash._hub import model_folder, upload
from rapidash._names import sentence
from rapidash._plain import from_plain, to_plain
from rapidash._pretrained import (
    CONFIG,
    NOT_DESCRIBED,
    bounded_by,
    check_sizes,
    find_pretrained,
    load_weights,
    model_dtype,
    read_pretrained,
    torch_dtype,
    write_pretrained,
)
from rapidash.data import Batch, CloudBatch, CloudDataset
from rapidash.datasets import DataError, FileCloud, as_entries, read_clouds, unforeseen
from rapidash.groups import Group, MatrixGroup
from rapidash.methods import (
    FULL,
    OrbitAverage,
    Task,
    Variant,
    build_model,
    in_view,
    modern_variant,
    predict_batches,
    view_ledger,
    view_names,
)
from rapidash.models import ANSWERS, answers, check_answers
from rapidash.predict._card import model_card
from rapidash.predict._finite import (
    check_inputs,
    check_tensors,
    checked_predictions,
    explained_by_weights,
    finite_clouds,
)
from rapidash.predict._near_origin import moved_back, moved_to_origin
from rapidash.predict._over_group import NONE, OWN, Spread, average_text, chosen_average, earlier_average
from rapidash.predict._write_predictions import Predictions
from rapidash.tasks import FileTask, Output, category_number, check_reference, get_task
from rapidash.train import progress_bar

_ENTRIES = {"task": str, "task_options": dict, "variant": dict, "dtype": str}
_ENTRIES |= {"reference": dict, "training": dict, "results": dict}


class BadCloudError(DataError):
    """A cloud of a file that cannot be predicted.

    Args:
        name: file and entry.
        problem: what is wrong with it.
        option: how to leave such clouds out.
    """

    def __init__(self, name: str, problem: str, option: str = "skip_bad=True") -> None:
        self.name, self.problem = name, problem
        super().__init__(f"{name}: {sentence(problem)} Mend or remove it, or leave bad entries out with {option}.")


@dataclass(frozen=True)
class TrainedModel:
    """A trained model, in eval mode, and what it was trained for.

    Args:
        task_name, task_options: the task, for `get_task`.
        variant: what was trained.
        model: with the trained weights.
        reference: what the task's predictions need of its training data, see `FileTask`.
        training: how it was trained, as plain values.
        results: what was measured, as plain values: ``metric``, ``unit``, ``test_error``, ...
        view: of the model, to which its weights belong and which predicts, e.g. ``"projected"``, see `view_model`.
    """

    task_name: str
    task_options: Mapping[str, Any]
    variant: Variant
    model: nn.Module
    reference: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    view: str = FULL

    @cached_property
    def task(self) -> Task:
        """The task; its data are not read."""
        return get_task(self.task_name, **self.task_options)

    def save_pretrained(self, folder: Path | str, *, license: str | None = None, notes: str = "") -> Path:
        """Write ``model.safetensors``, ``config.json`` and a card into a folder, each whole or not at all; no pickle.

        Args:
            folder: created where it is missing.
            license: for the card, an identifier as the hub has it, e.g. ``"mit"``.
            notes: for the card, a paragraph on the data.
        Returns: the folder.
        Raises: OSError naming the file; ValueError for a configuration that JSON cannot hold.
        """
        config = {
            "task": self.task_name,
            "task_options": to_plain(self.task_options),
            "variant": to_plain(self.variant),
            "dtype": model_dtype(self.model),
            "reference": to_plain(self.reference),
            "training": to_plain(self.training),
            "results": to_plain(self.results),
            "view": self.view,
        }
        with self.view_model():
            config[ANSWERS] = answers(self.model)
        about = (self.task, self.variant, self.task_options, self.results, self.view)
        card = model_card(*about, license=license, notes=notes)
        return write_pretrained(folder, self.model, config, kind="task", card=card)

    def push_to_hub(self, repo_id: str, *, private: bool = True, license: str | None = None, notes: str = "") -> str:
        """Upload the model to the Hugging Face hub, as `save_pretrained` writes it, and return its address.

        Args:
            repo_id: ``"USER/NAME"``; made where it is missing.
            private: of a new repository.
            license, notes: for the card.
        Raises: ModuleNotFoundError where ``huggingface_hub`` is missing, and its errors, e.g. without a login.
        """
        with tempfile.TemporaryDirectory() as folder:
            return upload(self.save_pretrained(folder, license=license, notes=notes), repo_id, private=private)

    @classmethod
    def from_pretrained(cls, path: Path | str, *, revision: str | None = None) -> "TrainedModel":
        """The model in a local folder that `save_pretrained` wrote (or a file in it, or the directory of its run).

        Where there is no such path, ``"dipole"`` and ``"nbody"`` are the models that come along with the package, and
        ``"USER/NAME"`` is one of the Hugging Face hub. The weights are the saved ones bit for bit, on the CPU; torch's
        generator stays as it was.

        Args:
            path: of a folder, or a name.
            revision: branch, tag or commit of a model of the hub.
        Raises: FileNotFoundError for a missing file or model; ValueError for a damaged or foreign file, an unknown task
            or option, or weights that do not fit, naming the file and the entry.
        """
        path = model_folder(path, revision=revision)
        config, tensors = read_pretrained(path, kind="task", entries=_ENTRIES)
        try:
            task = get_task(config["task"], **config["task_options"])
            variant = from_plain(Variant, modern_variant(config["variant"]), complete=True)
            dtype = torch_dtype(config["dtype"])
            check_sizes(vars(variant.model), tensors)
            with bounded_by(tensors):
                model = build_model(task, variant).to(dtype=dtype)
            with in_view(model, variant.methods, config.get("view", FULL)):
                pass  # an unknown one is told
            check_reference(config["reference"], task)
        except NOT_DESCRIBED as error:
            said = f"the entry {error} is missing" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{find_pretrained(path) / CONFIG} does not describe a model of a task: {said}") from error
        load_weights(model, tensors, path)
        found = {name: config[name] for name in ("reference", "training", "results")}
        view = config.get("view", FULL)
        loaded = cls(config["task"], config["task_options"], variant, model.eval(), **found, view=view)
        with loaded.view_model():
            check_answers(model, config, path)
        return loaded

    @property
    def views(self) -> list[str]:
        """The views of the model, see `rapidash.methods.Method.views`."""
        return view_names(self.variant.methods, self.model)

    def view_model(self) -> AbstractContextManager[None]:
        """A context within which ``model`` is the view that its weights belong to."""
        return in_view(self.model, self.variant.methods, self.view)

    def finished(self) -> nn.Module:
        """A copy of the model without what its view does not use, such as free branches that are switched off.

        Raises: ValueError for another view than the primary one of the variant, whose parts are all in use.
        """
        if self.view != self.variant.primary_view:
            raise ValueError(f"the view {self.view!r} uses all parts: only {self.variant.primary_view!r} is finished")
        model = copy.deepcopy(self.model)
        for method in reversed(self.variant.methods):
            if method.primary_view in (FULL, self.view):  # else its parts are in use in this view
                model = method.finish(model)
        return model

    def predict(
        self,
        data: CloudDataset,
        *,
        batch_size: int = 64,
        average: OrbitAverage | MatrixGroup | str | None = OWN,
        num_elements: int | None = None,
        random_frame: bool = False,
        seed: int = 0,
        progress: bool = False,
        tta: int | None = None,
        tta_group: Group | str | None = None,
    ) -> Predictions:
        r"""Predictions for clouds that have the task's inputs, batch by batch, on the model's device and in its dtype.

        An average over a group is that of the predictions f(g_k x), each moved back; beside every output NAME stands
        NAME_spread, how far it moves over the elements:

        .. math:: \bar f(x) = \tfrac1K \sum_k \rho(g_k)^{-1} f(g_k x), \qquad
            s(x)^2 = \tfrac1n \sum_k \|\rho(g_k)^{-1} f(g_k x) - \bar f(x)\|^2,

        n = K for all elements of a finite group, K - 1 for random ones; invariant numbers each have their own spread, a
        vector or position one (the root mean square deviation), and that of a class is the share of the elements that
        give another one than the average. Outputs that are no linear function of the prediction, such as
        probabilities, spread about their own mean. The memory does not grow with K.

        Args:
            data: the clouds, e.g. from `rapidash.interop.ase.from_ase`.
            batch_size: clouds at a time.
            average: a group without translations, or its name such as ``"SO(3)"``, ``"Ih"`` or ``"C4(z)"``; ``"own"``:
                what the variant averages over, if anything; ``"none"`` or None: nothing. Another one replaces the
                average of the variant. Also an `OrbitAverage`, without ``num_elements``.
            num_elements: K, random elements of ``average``, drawn anew for each cloud; None: all of a finite group,
                which makes the average exactly equivariant, 16 of any other.
            random_frame: see each cloud in one random pose, and move the prediction back; no average, and no spread.
            seed: of the random elements; with equal seeds the result does not depend on ``batch_size``.
            progress: a bar on stderr, if that is a terminal.
            tta, tta_group: deprecated: a number of random elements (0: no average), and their group.
        Warns: where the predictions for some clouds are not finite; these are marked in ``is_finite``.
        Raises: ValueError for missing inputs, values that are not finite, clouds that the training data do not cover,
            no cloud, a batch size below 1, an average that there is not, or a task without predictions for
            clouds of users; where no prediction is finite.
        """
        task = self._file_task()
        if missing := [name for name in task.needs if name not in data.tensors]:
            raise ValueError(f"the clouds have no {missing[0]!r}: {self.task_name} needs {', '.join(task.needs)}")
        needed = CloudDataset(
            {name: data.tensors[name] for name in task.needs},
            {name: spec.field for name, spec in task.needs.items()},
            data.num_points,
        )
        names = tuple(f"cloud {index}" for index in range(len(needed)))
        check_inputs(needed, names, self._dtype)
        options = self._modern_options(
            {
                "batch_size": batch_size, "average": average, "num_elements": num_elements,
                "random_frame": random_frame, "seed": seed, "progress": progress, "tta": tta, "tta_group": tta_group,
            }
        )  # fmt: skip
        return checked_predictions(self._predicted(needed, names, **options), self.model)

    def _modern_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of `predict` without those that are deprecated."""
        rest = {name: value for name, value in options.items() if name not in ("tta", "tta_group")}
        tta, group = options.get("tta"), options.get("tta_group")
        if tta is None:
            return rest
        warn_deprecated("rapidash.predict.TrainedModel.predict(tta)", stacklevel=3)
        return {**rest, "average": earlier_average(tta, group, own=self._own_average, dim=self.task.dim)}

    def _predicted(
        self,
        data: CloudDataset,
        names: Sequence[str],
        *,
        batch_size: int = 64,
        average: OrbitAverage | MatrixGroup | str | None = OWN,
        num_elements: int | None = None,
        random_frame: bool = False,
        seed: int = 0,
        progress: bool = False,
    ) -> Predictions:
        """As `predict`, of clouds with the task's inputs and nothing else, whether what comes out is finite or not."""
        task = self._file_task()
        over = chosen_average(
            average, num_elements, random_frame=random_frame, own=self._own_average, dim=self.task.dim
        )
        near, centers = moved_to_origin(data) if self._keeps_translations else (data, torch.zeros(len(data), 1))
        parts: dict[str, list[Output]] = {}
        is_finite = torch.ones(len(data), dtype=torch.bool)
        spread = None if over is None else Spread(over)

        def watch(batch: Batch, prediction: Tensor) -> None:
            assert isinstance(batch, CloudBatch)
            assert spread is not None
            spread.add(task.outputs(prediction, batch, self.reference))

        with (
            self.view_model(),
            explained_by_weights(self.model),
            progress_bar(len(data), "predict", "cloud", show=progress) as advance,
        ):
            for indices, batch, prediction in predict_batches(
                self.model, near, self.task.output, batch_size=batch_size, average=over, seed=seed, watch=watch
            ):
                assert isinstance(batch, CloudBatch)
                outputs = task.outputs(prediction, batch, self.reference)
                raw = Output(prediction, self.task.output)
                is_finite[indices] = finite_clouds([raw, *outputs.values()], batch).cpu()
                if spread is not None and over is not None:
                    outputs, spread = outputs | spread.outputs(outputs), Spread(over)
                for name, output in outputs.items():
                    parts.setdefault(name, []).append(moved_back(output, centers[indices], batch.batch))
                advance(len(indices))
        made = {
            name: Output(torch.cat([output.values.cpu() for output in found]), found[0].field, found[0].labels)
            for name, found in parts.items()
        }
        said = average_text(over, random_frame=random_frame, seed=seed)
        return Predictions(made, data, tuple(names), is_finite=None if is_finite.all() else is_finite, average=said)

    @property
    def _own_average(self) -> OrbitAverage | None:
        """The average of the variant, which is for predictions of its primary view."""
        return self.variant.average if self.view == self.variant.primary_view else None

    @property
    def _dtype(self) -> torch.dtype:
        """In which the model computes."""
        return getattr(torch, model_dtype(self.model))

    @cached_property
    def _keeps_translations(self) -> bool:
        """Whether moving a cloud moves its prediction along, or leaves it, by construction."""
        effective = view_ledger(self.task, self.variant, self.view).effective
        return isinstance(effective, Group) and effective.translations

    def predict_files(
        self,
        paths: Path | str | Sequence[Path | str],
        *,
        category: str | int | None = None,
        skip_bad: bool = False,
        check: Callable[[Predictions, int], None] | None = None,
        **options: Any,
    ) -> Predictions:
        """Predictions for the clouds of files, see `rapidash.datasets.read_clouds` for their formats.

        Values per point are for the points of the files, in their order. A cloud far from the origin is predicted near
        it, in the digits that the model has, where the symmetry of the variant says that this is the same.

        Args:
            paths: files, or one; of the formats of `rapidash.datasets.read_clouds`, or of the task's ``read_files``.
            category: name or number of the category of every cloud whose file does not say it, for tasks that use it.
            skip_bad: leave out clouds that cannot be read or that the task cannot take, whatever the reason; they are
                listed in ``skipped``.
            check: called before all is predicted, with the predictions for the first cloud and the number of clouds; to
                stop the work it raises.
            options: as for `predict`.
        Raises: FileNotFoundError; DataError naming file and entry of the first bad cloud, or when none is left; and as
            `predict`; ValueError for a category that is unknown or that the task does not use.
        """
        task, options = self._file_task(), self._modern_options(options)
        paths = [paths] if isinstance(paths, str | Path) else paths
        self._check_category(task, category)
        names: list[str] = []
        clouds: list[dict[str, Tensor]] = []
        given: list[Tensor] = []
        skipped: list[str] = []
        source: FileCloud | None = None
        for path in paths:
            for name, found in as_entries(path, getattr(task, "read_files", read_clouds)(path)):
                try:
                    if isinstance(found, DataError):
                        raise found
                    labeled = found if found.label is not None else replace(found, label=category)
                    cloud = self._checked(task, labeled)
                    self._check_size(cloud)
                    pos = torch.from_numpy(found.arrays["pos"].astype(np.float64))
                except Warning:
                    raise  # a user made it an error
                except Exception as error:  # a reader or a task that did not foresee something
                    bad = error if isinstance(error, DataError) else unforeseen(error)
                    if not skip_bad:
                        raise BadCloudError(name, str(bad)) from error
                    skipped.append(f"{name}: {bad}")
                else:
                    clouds.append(cloud)
                    source = None if names else found  # of the only one
                    given.append(pos)
                    names.append(name)
        if not clouds:
            first = f"; the first: {skipped[0]}" if skipped else ""
            raise DataError(f"no cloud to predict in {', '.join(map(str, paths))}: {len(skipped)} are bad{first}")
        rows = [cloud.pop("rows") for cloud in clouds if "rows" in cloud]
        places = [cloud.pop("places") for cloud in clouds if "places" in cloud]
        data = CloudDataset(
            {key: torch.cat([cloud[key] for cloud in clouds]) for key in clouds[0]},
            {key: task.needs[key].field for key in clouds[0]},
            torch.tensor([len(cloud["pos"]) for cloud in clouds]),
        )
        if check is not None:
            plain = {"average": NONE, "num_elements": None, "random_frame": False, "progress": False}
            one = self._predicted(data.subset(torch.arange(1)), names[:1], **{**options, **plain})
            check(one.at_points(given[:1], rows[:1]) if rows else one, len(names))
        made = checked_predictions(self._predicted(data, names, **options), self.model)
        made = made.at_points(given, rows) if rows else made.at_places(torch.cat(places)) if places else made
        return replace(made, skipped=tuple(skipped), source=source)

    def _check_size(self, cloud: Mapping[str, Tensor]) -> None:
        """Raise DataError for another number of points than the network was made for, where that is one number."""
        wanted = getattr(self.variant.model, "num_points", None)
        if wanted is not None and len(cloud["pos"]) != wanted:
            raise DataError(
                f"it has {len(cloud['pos'])} points, the network was made for {wanted} points in a fixed order"
            )

    def _check_category(self, task: FileTask, category: str | int | None) -> None:
        if category is None:
            return
        if "label" not in task.needs:
            needed = ", ".join(task.needs)
            raise ValueError(f"category is {category!r}, and {self.task_name} uses none: it needs {needed}")
        category_number(category, self.reference["class_names"])

    def _checked(self, task: FileTask, found: FileCloud) -> dict[str, Tensor]:
        if len(found.arrays["pos"]) == 0:
            raise DataError("it has no points")
        tensors = task.read_cloud(found, self.reference)
        check_tensors(tensors, self._dtype)
        return tensors

    def _file_task(self) -> FileTask:
        if not isinstance(self.task, FileTask):
            raise ValueError(
                f"task {self.task_name!r} does not say how a cloud of a user becomes its input: see "
                "rapidash.tasks.FileTask, or call the model on batches of your own"
            )
        if missing := check_reference(self.reference, self.task):
            raise ValueError(
                f"the saved model of {self.task_name} has no {missing[0]!r} in 'reference', which predictions need (an "
                "earlier version saved none, or it is damaged): save it again with reference=task.reference(), or "
                "train it again"
            )
        return self.task
