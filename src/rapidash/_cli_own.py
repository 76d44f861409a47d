"""The words of the command line that are about a user's own files: FILES --target NAME, and what goes with them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rapidash._cli_usage import UsageError

if TYPE_CHECKING:  # torch is imported by the commands that need it
    from rapidash.study import StudyDesign

OWN_TASK: Final = "own-data"
OWN_HELP: Final = (
    "FILES are files, or folders of files: xyz, extxyz, traj, cif, vasp, sdf, npz, ply, off, obj,\n"
    "stl, pcd, csv, parquet.\n"
    "  --target NAME        what is learned; energy,forces for both; without it the class is the folder of a file\n"
    "  --target-kind KIND   number, vector, tensor or class (point-KIND of each point); default: told from the file\n"
    "  --unit TEXT          of the target; default: as the file says\n"
    "  --split WAY          seed (default), group:NAME, time or files\n"
    "  --cloud COLUMN       of tables, the column that tells the clouds apart\n"
    "  --methods LIST       study: methods beside the ladder of symmetries, such as ace,augerino,frames\n"
    "  --learn-symmetry     study: which motions do the labels tolerate, and how far?"
)
_WITH_VALUE: Final = {
    "--target": ("target", "the name of a target in the files"),
    "--target-kind": ("kind", "number, vector, tensor or class, or point- and one of them"),
    "--unit": ("unit", "the unit of the target"),
    "--split": ("split", "seed, group:NAME, time or files"),
    "--cloud": ("column", "a column of a table"),
    "--methods": ("methods", "names of methods such as ace,frames"),
}
_READ_BY: Final = {"on_error": str, "num_points": int, "max_clouds": int}  # task options that decide what is read


class OwnFilesError(UsageError):
    """Words about own files that do not go together: an error of usage."""


@dataclass
class OwnFiles:
    """A user's files, and what the command line says of them, None where it says nothing."""

    files: list[str]
    target: str | None = None
    kind: str | None = None
    unit: str | None = None
    split: str | None = None
    column: str | None = None
    methods: str | None = None
    learns_symmetry: bool = False
    is_quiet: bool = False
    others: dict[str, Any] = field(default_factory=dict)

    def design(self, *, full: bool) -> tuple["StudyDesign", list[str]]:
        """The study of these files, and sentences that say what was found in them.

        Raises: OwnFilesError for options that do not go together; and as `rapidash.tasks.own_data_options`.
        """
        if self.learns_symmetry:
            from rapidash.study.designs.learn_symmetry import own_design

            if self.methods is not None:
                raise OwnFilesError("--methods does not go with --learn-symmetry, whose method is augerino")
            with self._watched() as watch:
                return own_design(self.files, self.target, full=full, watch=watch, **self._how())
        options, said = self.options()
        names = [name for name in (self.methods or "").replace(",", " ").split() if name]
        return design_of_options(options, methods=names, full=full), said

    def options(self) -> tuple[dict[str, Any], list[str]]:
        """The options of the task of these files, and sentences: see `rapidash.tasks.own_data_options`."""
        from rapidash.tasks import own_data_options

        with self._watched() as watch:
            return own_data_options(self.files, self.target, watch=watch, **self._how())

    def _watched(self) -> AbstractContextManager[Callable[[int], None]]:
        """A count on the terminal of the clouds that are read."""
        from rapidash.train import progress_bar

        return progress_bar(None, "reading", " clouds", show=not self.is_quiet)

    def _how(self) -> dict[str, Any]:
        others = self.others | ({"column": self.column} if self.column is not None else {})
        return others | {"kind": self.kind, "unit": self.unit, "split": self.split or "seed"}


def design_of_options(options: Mapping[str, Any], *, methods: Sequence[str] = (), full: bool) -> "StudyDesign":
    """The study of files whose options are known, such as those in a file of settings.

    Raises: ValueError for options or methods that there are not; DataError as the files are read.
    """
    from rapidash.study.designs.own_data import own_data_design
    from rapidash.tasks import get_task

    task: Any = get_task(OWN_TASK, **options)
    most = max(len(pos) for pos in task.clouds().pos)
    known = {name: getattr(task, name) for name in ("dim", "is_periodic", "kind", "elements")}
    return own_data_design({**options, **known}, num_points=most, methods=methods, full=full)


def taken_own_files(words: Sequence[str], studies: Sequence[str]) -> tuple[list[str], OwnFiles | None]:
    """The words without the files and what is said of them, with the name of the task in their place, and these.

    The first words are files where the first is no study and looks like a file: it exists, or has a suffix or a slash.
    A study of the same name wins; ``./NAME`` is the file.

    Raises: OwnFilesError for an option without its value, or without files.
    """
    number = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    first, options = list(words[:number]), list(words[number:])
    is_learning = first[:1] == ["learn-symmetry"]
    if is_learning:
        files = first[1:]
    else:
        files = first if first and first[0] not in studies and _looks_like_a_file(first[0]) else []
    own, rest = OwnFiles(files, learns_symmetry=is_learning), list[str]()
    said: list[str] = []
    remaining = iter(options)
    for word in remaining:
        name, equals, value = word.partition("=")
        if name == "--learn-symmetry":
            own.learns_symmetry = True
            said.append(name)
        elif name in _WITH_VALUE:
            key, expected = _WITH_VALUE[name]
            given = value if equals else next(remaining, "")
            if not given or given.startswith("--"):
                raise OwnFilesError(f"{name}: expected {expected}, got none")
            setattr(own, key, given)
            said.append(name)
        else:
            rest.append(word)
    if not files:
        if said:
            shown = "learn-symmetry FILES" if is_learning else "FILES"
            value = f" {own.target}" if said[0] == "--target" else ""
            raise OwnFilesError(f"{said[0]}{value} needs files: rapidash study {shown} --target NAME")
        return list(words), None
    own.others, own.is_quiet = taken_reading(rest)[0], "--quiet" in rest
    task = "learn-symmetry" if own.learns_symmetry else OWN_TASK
    return [task, *rest], own


def says_of_files(words: Sequence[str]) -> str:
    """The first option among the words that is about a user's files, or nothing."""
    names = (word.partition("=")[0] for word in words)
    return next((name for name in names if name in _WITH_VALUE or name == "--learn-symmetry"), "")


def _looks_like_a_file(word: str) -> bool:
    return "/" in word or bool(Path(word).suffix) or Path(word).exists()


def taken_reading(words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The task options among the words that decide what is read of files, and the other words.

    Raises: OwnFilesError for a count that is no whole number.
    """
    found: dict[str, Any] = {}
    rest, remaining = list[str](), iter(words)
    for word in remaining:
        name, equals, value = word.partition("=")
        key = name.removeprefix("--task_options.")
        if key == name or key not in _READ_BY:
            rest.append(word)
            continue
        given = value if equals else next(remaining, "")
        try:
            found[key] = _READ_BY[key](given)
        except ValueError:
            raise OwnFilesError(f"{name}: expected a whole number, got {given!r}") from None
    return found, rest


def default_folder(command: str, own: OwnFiles) -> str:
    """The folder of runs, named for the first file and the target."""
    start = "own" if command == "study" else f"{command}-own"
    start = "learn-symmetry" if own.learns_symmetry else start
    target = "" if own.target is None else f"-{own.target.replace(',', '-')}"
    return f"runs/{start}-{Path(own.files[0]).resolve().stem}{target}"
