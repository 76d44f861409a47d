"""Named things of every kind (networks, tasks, methods, ...): imported when asked for, also from other packages."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from rapidash._names import unknown_name

T = TypeVar("T")
_NONE = object()


class PluginError(ImportError):
    """An entry point of another package cannot be imported; the message names the entry point and the cause."""


class Registry(Generic[T]):
    """Things of one kind by name; what another package registers is found by its entry points.

    A name stands for a thing, or for the place ``"module:attribute"`` where it is, which is imported on first use. An
    installed package adds names by entry points of the group ``rapidash.GROUP``; a module may also call `register`. A
    package that cannot be imported is an error for its own names only.

    Args:
        group: what is registered, in the plural, e.g. ``"networks"``.
        what: one of them in words, for errors.
        places: the things of this package by name.
    """

    def __init__(self, group: str, what: str, places: Mapping[str, str | T] | None = None) -> None:
        self.group, self.what = group, what
        self._entries: dict[str, Any] = dict(places or {})
        self._foreign: dict[str, EntryPoint] | None = None

    def register(self, name: str, *, replace: bool = False) -> Callable[[Any], Any]:
        """Decorator: give a thing this name.

        Raises: ValueError for a name that is taken, unless ``replace``.
        """

        def add(thing: Any) -> Any:
            if not replace and name in self._entries and not self._is_place_of(name, thing):
                raise ValueError(f"{self.what} {name!r} is registered already: choose another name")
            self[name] = thing
            return thing

        return add

    def __setitem__(self, name: str, thing: T) -> None:
        self._entries[name] = thing

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def get(self, name: str, default: Any = _NONE) -> T:
        """The thing with this name; for an unknown one the default, if there is one.

        Raises: ValueError for an unknown name, with the nearest one; PluginError for one of another package that cannot
            be imported.
        """
        if not isinstance(name, str) or name not in self:
            if default is not _NONE:
                return default
            raise ValueError(unknown_name(self.what, str(name), list(self)))
        if name not in self._entries:
            self._import_foreign(name)
        entry = self._entries[name]
        if isinstance(entry, str):
            module, _, attribute = entry.partition(":")
            self[name] = getattr(import_module(module), attribute)
        return self._entries[name]

    def __getitem__(self, name: str) -> T:
        return self.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._entry_points()

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._entries, *self._entry_points()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def name_of(self, thing: Any) -> str:
        """The name of a registered class or function.

        Raises: ValueError for one that is not registered.
        """
        for name in self:
            place = self._entries.get(name) or self._entry_points()[name].value
            is_it = place is thing
            if isinstance(place, str) and place.rpartition(":")[2] == getattr(thing, "__qualname__", None):
                is_it = self.get(name) is thing  # the names of others are not imported for this
            if is_it:
                return name
        raise ValueError(
            f"{getattr(thing, '__qualname__', thing)} is not registered as a {self.what}: give it a name with "
            f"rapidash.registry.{self.group.upper()}.register, or by an entry point of the group rapidash.{self.group}"
        )

    def own_names(self) -> list[str]:
        """The names of this package, without those that entry points of others add."""
        return [name for name in self._entries if name not in self._entry_points()]

    def _is_place_of(self, name: str, thing: Any) -> bool:
        """Whether the name stands for the place where this very thing is being defined."""
        return self._entries[name] == f"{getattr(thing, '__module__', '')}:{getattr(thing, '__qualname__', '')}"

    def _entry_points(self) -> dict[str, EntryPoint]:
        """Entry points of other packages by name; those whose name is taken are left out, with a warning."""
        if self._foreign is None:
            self._foreign = {}
            for entry in entry_points(group=f"rapidash.{self.group}"):
                other = self._foreign.get(entry.name)
                if entry.name in self._entries or (other is not None and other.value != entry.value):
                    owner = "rapidash" if other is None else _package(other)
                    warnings.warn(
                        f"the {self.what} {entry.name!r} of {_package(entry)} is left out: {owner} has that name too",
                        stacklevel=2,
                    )
                    continue
                self._foreign[entry.name] = entry
        return self._foreign

    def _import_foreign(self, name: str) -> None:
        entry = self._entry_points()[name]
        try:
            thing = entry.load()
        except (Exception, SystemExit) as error:  # whatever another package does when it is imported
            raise PluginError(
                f"{self.what} {name!r}: the entry point {entry.value!r} of {_package(entry)} cannot be imported: "
                f"{type(error).__name__}: {error}. Mend or uninstall that package; the others work"
            ) from error
        if name not in self._entries:  # else it registered itself when it was imported
            self[name] = thing


def _package(entry: EntryPoint) -> str:
    return "another package" if entry.dist is None else f"the package {entry.dist.name}"
