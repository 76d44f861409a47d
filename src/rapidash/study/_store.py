"""The records of a study on disk: one JSON file per run, whole or absent, and a claim that dies with its process."""

import contextlib
import errno
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from rapidash._files import atomic_write
from rapidash._plain import with_absent
from rapidash.methods import modern_variant
from rapidash.study._design import StudyDesign
from rapidash.study._run_config import run_key
from rapidash.study._valid import design_fault, record_fault
from rapidash.train import WITHOUT_EFFECT, TrainConfig

RECORD_SCHEMA = 1
Record = dict[str, Any]

_REQUIRED = {
    "done": ("key", "config", "variant", "test_error", "val_error", "parameters", "symmetry"),
    "failed": ("key", "config", "variant", "error"),
}


class StoreError(RuntimeError):
    """The store cannot be written or does not fit: the study stops, and what is recorded stays."""


class Store:
    """The directory of one study.

    ``study.json`` is the design, ``records/KEY.json`` one record per run, ``work/KEY/`` what a run needs while it
    is trained (checkpoints, logs) and its weights afterwards.

    Args:
        directory: the study's directory; created when something is written.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)

    def record_path(self, key: str) -> Path:
        """Path of the record of a run."""
        return self.directory / "records" / f"{key}.json"

    def work_dir(self, key: str) -> Path:
        """Directory in which a run keeps its checkpoints, logs and weights."""
        return self.directory / "work" / key

    def load(self, key: str) -> Record | None:
        """The record of a run, None when there is none; also one that an earlier version wrote under another key.

        A record that is truncated or not a record is set aside as ``KEY.json.corrupt``, with a warning that names it.
        Raises: StoreError for a record of another schema: it is left alone.
        """
        record = self._load_file(key)
        if record is None and (stem := self._stems_of_others.get(key)) is not None:
            return self._load_file(stem)
        return record

    @cached_property
    def _stems_of_others(self) -> dict[str, str]:
        """By key of today, the names of the files of finished runs that have another one."""
        found = (self._load_file(path.stem) for path in sorted((self.directory / "records").glob("*.json")))
        done = [record for record in found if record is not None and record["status"] == "done"]
        return {key: record["key"] for record in done if (key := _key_of_today(record)) != record["key"]}

    def _load_file(self, key: str) -> Record | None:
        path = self.record_path(key)
        record = self._read_object(path)
        if record is None:
            return None
        if record.get("schema", RECORD_SCHEMA) != RECORD_SCHEMA:
            raise StoreError(
                f"{path} has schema {record['schema']!r}, this version of rapidash reads {RECORD_SCHEMA}: "
                "choose another output directory, or the version that wrote it"
            )
        if fault := _fault(record, key):
            self._set_aside(path, fault)
            return None
        return record

    def records(self) -> list[Record]:
        """All readable records: variants in the order of the study (then of their names), seeds in ascending order.

        Of a run that has a record under its key and one of an earlier version under another, the former.
        """
        paths = sorted((self.directory / "records").glob("*.json"))
        found = [record for path in paths if (record := self._load_file(path.stem)) is not None]
        keys = {record["key"] for record in found}
        found = [record for record in found if (now := _key_of_today(record)) == record["key"] or now not in keys]
        design = self._read_design() or {"variants": []}
        order = {entry["name"]: place for place, entry in enumerate(design["variants"])}

        def place(record: Record) -> tuple[int, str, int]:
            name = record["config"]["variant"]["name"]
            return order.get(name, len(order)), name, record["config"]["seed"]

        return sorted(found, key=place)

    def save(self, record: Mapping[str, Any]) -> None:
        """Write a record, replacing an older one of the same run in one step.

        Raises: StoreError when it cannot be written (a full disk): the older record, if any, is intact.
        """
        assert not (fault := _fault(record, record["key"])), fault
        text = _json(record)
        with _explained(f"the record of run {record['key']}"):
            atomic_write(self.record_path(record["key"]), text)

    @contextlib.contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """Whether this process may run a run: False while another one holds it.

        The claim is a lock of the operating system on ``work/KEY/claim``: it is free as soon as its holder ends,
        however it ends. It holds between processes of one machine, and between machines where the file system
        supports ``flock``.
        """
        import fcntl  # not on Windows, where the package is usable but for studies

        with _explained(f"the claim of run {key}"):
            self.work_dir(key).mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.work_dir(key) / "claim", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(descriptor)

    def check_study(self, design: StudyDesign) -> None:
        """Whether the directory is free for this study, or holds it; nothing is written.

        Raises: StoreError for another study, naming what differs.
        """
        self._grown(self._read_design(), design)

    def open_study(self, design: StudyDesign) -> None:
        """Write ``study.json``, or check that the directory holds this study.

        A study may grow by variants, seeds, fractions and values of its factors; nothing else of it may change, for its
        runs would not be comparable.
        Raises: StoreError for another study, naming what differs, or when the file cannot be written.
        """
        previous = self._read_design()
        plain = self._grown(previous, design)
        if plain != previous:
            with _explained("study.json"):
                atomic_write(self.directory / "study.json", _json(plain))

    def _grown(self, previous: dict[str, Any] | None, design: StudyDesign) -> dict[str, Any]:
        """The content of ``study.json`` once the design is added to it."""
        return design.to_dict() if previous is None else _union(previous, design.to_dict(), self.directory)

    def _read_design(self) -> dict[str, Any] | None:
        """``study.json``; None where it is absent or, set aside with a warning, no design."""
        path = self.directory / "study.json"
        plain = self._read_object(path)
        if plain is not None and (fault := design_fault(plain, to_resume=True)):
            self._set_aside(path, f"is no design: {fault}")
            return None
        if plain is None:
            return None
        variants = [modern_variant(variant) for variant in plain["variants"]]
        train = with_absent(TrainConfig, plain["train"])
        return {"measures": [], "factors": {}, "equal": "steps", **plain, "variants": variants, "train": train}

    def _read_object(self, path: Path) -> dict[str, Any] | None:
        """The JSON object in a file; None when the file is absent or, set aside with a warning, holds none."""
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as error:  # not JSON, not even text, or a million brackets
            self._set_aside(path, f"is not JSON, perhaps truncated ({error})")
            return None
        if not isinstance(plain, dict):
            self._set_aside(path, f"holds a {type(plain).__name__}, not an object")
            return None
        return plain

    def _set_aside(self, path: Path, fault: str) -> None:
        aside = path.with_name(path.name + ".corrupt")
        done = f"it is set aside as {aside.name} and will be written anew"
        try:
            path.replace(aside)
        except FileNotFoundError:  # another process was faster
            pass
        except OSError:  # a folder that can only be read
            done = "it is left out"
        warnings.warn(f"{path} {fault}; {done}", stacklevel=4)


def _key_of_today(record: Record) -> str:
    """The key of the run in a record; that of the record itself where its configuration is of another form."""
    try:
        return run_key(record["config"])
    except (KeyError, TypeError, AttributeError, ValueError, ImportError):
        return str(record["key"])


def _json(plain: Mapping[str, Any]) -> str:
    """JSON with letters as they are; escaped where one is half a letter, as in the name of a file that is no text."""
    text = json.dumps(plain, indent=1, allow_nan=False, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(plain, indent=1, allow_nan=False)
    return text + "\n"


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn an error of the file system into one that says what to do."""
    try:
        yield
    except OSError as error:
        cure = "free some space" if is_full_disk(error) else "check the output directory"
        raise StoreError(
            f"could not write {what}: {error}. Finished runs are kept: {cure} and run the same command again"
        ) from error


def is_full_disk(error: BaseException | None) -> bool:
    """Whether an error, or one that caused it, is a full disk or an exhausted quota."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


def _fault(record: Mapping[str, Any], key: str) -> str:
    """The fault of a record, in words; empty where it has none."""
    required = _REQUIRED.get(str(record.get("status")))
    if required is None:
        return f"has status {record.get('status')!r}, expected one of {sorted(_REQUIRED)}"
    found = {**record, "variant": record["config"].get("variant")} if isinstance(record.get("config"), dict) else record
    if missing := [name for name in required if found.get(name) is None]:
        return f"lacks {', '.join(missing)}"
    if fault := record_fault(record, to_resume=True):
        return f"is no record: {fault}"
    return "" if record["key"] == key else f"holds run {record['key']!r}"


def _union(old: dict[str, Any], new: dict[str, Any], directory: Path) -> dict[str, Any]:
    for name in sorted(old.keys() | new.keys(), key=lambda name: (name == "setting", name)):  # what it is made of first
        if name in ("name", "variants", "seeds", "fractions", "factors", "train_overrides", "inits"):
            continue
        before, now = (_decisive(plain.get(name)) for plain in (old, new))
        if before != now:
            raise StoreError(
                f"{directory} holds another study: {difference(name, before, now)}. "
                "Choose another output directory, or the settings of that study"
            )
    for name, value in new["train_overrides"].items():
        before = _decisive(old["train_overrides"].get(name, {}))
        if name in {entry["name"] for entry in old["variants"]} and before != _decisive(value):
            raise StoreError(f"{directory} holds another study: the training of {name!r} differs")
    for name in {entry["name"] for entry in old["variants"]} & {entry["name"] for entry in new["variants"]}:
        before, now = (plain.get("inits", {}).get(name) for plain in (old, new))
        if before != now:
            raise StoreError(f"{directory} holds another study: {difference(f'inits.{name}', before, now)}")
    return {
        **new,
        "name": new["name"] if old.get("name") == new["name"] else "",  # a folder of several studies is none of them
        "inits": {**old.get("inits", {}), **new.get("inits", {})},
        "variants": _union_of_variants(old["variants"], new["variants"], directory),
        "seeds": sorted({*old["seeds"], *new["seeds"]}),
        "fractions": sorted({*old["fractions"], *new["fractions"]}),
        "factors": _union_of_factors(old["factors"], new["factors"], directory),
        "train_overrides": {**old["train_overrides"], **new["train_overrides"]},
    }


def _union_of_factors(old: dict[str, Any], new: dict[str, Any], directory: Path) -> dict[str, Any]:
    if old.keys() != new.keys():
        raise StoreError(
            f"{directory} holds another study: its factors are {sorted(old)} there, {sorted(new)} here. "
            "Choose another output directory"
        )
    return {name: [*old[name], *(value for value in new[name] if value not in old[name])] for name in old}


def _decisive(value: Any) -> Any:
    """The settings of a study that decide its results."""
    return {k: v for k, v in value.items() if k not in WITHOUT_EFFECT} if isinstance(value, dict) else value


def _union_of_variants(old: list[dict[str, Any]], new: list[dict[str, Any]], directory: Path) -> list[dict[str, Any]]:
    known = {entry["name"]: entry for entry in old}
    for entry in new:
        before = known.setdefault(entry["name"], entry)
        changed = [name for name in entry if before.get(name) != entry[name] and name not in ("neighbor", "knob")]
        if changed:
            detail = difference(changed[0], before.get(changed[0]), entry[changed[0]])
            raise StoreError(
                f"{directory} holds another variant {entry['name']!r}: {detail}. Choose another output directory"
            )
        if entry["neighbor"] is not None:
            known[entry["name"]] = entry
    return list(known.values())


def difference(name: str, old: Any, new: Any) -> str:
    """The first difference of two plain values, by its path: ``train.steps is 100 there, 200 here``."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                return difference(f"{name}.{key}", old.get(key), new.get(key))
    return f"{name} is {old!r} there, {new!r} here"
