"""Names that go: since when, until when, and what to use instead. What files say is read for ever."""

import re
import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any, Final, NamedTuple


class Deprecation(NamedTuple):
    """A name that still works, with a warning.

    Args:
        name: in full: ``"rapidash.train.Variant"``, ``"rapidash.f(argument)"`` or ``"rapidash study --option"``.
        instead: the new name in full, or in words what to use.
        since: the first version that warns.
        gone_in: the first version without the name.
    """

    name: str
    instead: str
    since: str
    gone_in: str

    @property
    def message(self) -> str:
        """The text of the warning."""
        return f"{self.name} goes in rapidash {self.gone_in} (deprecated since {self.since}): use {self.instead}"


class EarlierForm(NamedTuple):
    """A form that earlier versions wrote into files of users, and the function or command that reads it."""

    file: str
    form: str
    reader: str


def _moved(module: str, names: str, to: str, *, since: str, gone_in: str) -> tuple[Deprecation, ...]:
    return tuple(Deprecation(f"{module}.{name}", f"{to}.{name}", since, gone_in) for name in names.split())


DEPRECATIONS: Final = (
    *_moved(
        "rapidash.train", "EvalResult Task Variant evaluate predict", "rapidash.methods", since="0.1.0", gone_in="0.3.0"
    ),
    # so say the cards of models that the first version saved
    *_moved("rapidash.train", "TrainedModel", "rapidash.predict", since="0.1.0", gone_in="0.3.0"),
    # where 0 elements meant no average, and elsewhere all elements of the group
    Deprecation("rapidash.methods.predict(tta)", "average=OrbitAverage(group, num)", "0.1.0", "0.3.0"),
    Deprecation("rapidash.predict.TrainedModel.predict(tta)", "average=GROUP, num_elements=N", "0.1.0", "0.3.0"),
    Deprecation("rapidash predict --tta", "--average GROUP --elements N", "0.1.0", "0.3.0"),
    Deprecation("rapidash train --tta", "--average GROUP --elements N", "0.1.0", "0.3.0"),
)
EARLIER_FORMS: Final = (
    EarlierForm(
        "records and ``study.json`` of a study",
        "variants with ``augment``, ``tta`` and ``tta_group`` instead of methods; networks without their kind, with "
        "sizes among their settings; errors of exact symmetry under rotations and reflections only",
        "`rapidash.study.read_study`, every command that takes the folder of a study",
    ),
    EarlierForm(
        "saved models of tasks",
        "the same variants; not the view of the model that predicts",
        "`rapidash.predict.TrainedModel.from_pretrained`, ``rapidash predict``, ``rapidash measure``",
    ),
    EarlierForm("saved networks", "networks without their kind", "`rapidash.models.Rapidash.from_pretrained`"),
)


def deprecation(name: str) -> Deprecation:
    """The entry of a name. Raises: KeyError for one that is not in `DEPRECATIONS`."""
    return {entry.name: entry for entry in DEPRECATIONS}[name]


def warn_deprecated(name: str, *, stacklevel: int = 2) -> Deprecation:
    """Warn that a name goes, and what to use instead.

    Args:
        name: a name in `DEPRECATIONS`.
        stacklevel: 2 blames the caller of the function that warns, as in `warnings.warn`.
    Returns: what is said about the name.
    Raises: KeyError for a name that is not listed: a warning that nobody removes would stay for ever.
    """
    found = deprecation(name)
    warnings.warn(found.message, DeprecationWarning, stacklevel=stacklevel + 1)
    return found


def moved_names(module: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module some of whose names are elsewhere now: it warns and gives them.

    Whoever gets such a name imports the module that has it now, whichever that is: the order of the packages holds for
    what they import themselves.
    """
    moved = {entry.name for entry in DEPRECATIONS}

    def get(name: str) -> Any:
        if f"{module}.{name}" not in moved:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        place, _, attribute = warn_deprecated(f"{module}.{name}", stacklevel=2).instead.rpartition(".")
        return getattr(import_module(place), attribute)

    return get


def overdue(deprecations: Iterable[Deprecation], version: str) -> list[str]:
    """The names that a version, or one in preparation for it such as ``0.3.0.dev0``, should not have any more."""
    return [entry.name for entry in deprecations if _release(entry.gone_in) <= _release(version)]


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version, without what follows them. Raises: ValueError where it does not begin with three."""
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if found is None:
        raise ValueError(f"expected a version such as 0.3.0, got {version!r}")
    return tuple(int(number) for number in found.groups())
