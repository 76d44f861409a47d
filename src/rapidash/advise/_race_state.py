"""The decisions of a race so far, and their file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from rapidash._files import atomic_write
from rapidash._plain import check_fields
from rapidash.advise._saved import read_saved, record
from rapidash.advise._trial import plain

RACE: Final = "race.json"
SCHEMA: Final = 1
VALIDATIONS: Final = 2  # of a training


@dataclass(frozen=True)
class Cost:
    """Seconds of a step, of a look at the validation data, and until a training begins; or why it is not raced."""

    step: float = 0.0
    validation: float = 0.0
    beginning: float = 0.0
    dropped: str = ""

    def steps_in(self, seconds: float) -> int:
        """The optimizer steps of a training that takes so long, with its validations."""
        return int((seconds - self.beginning - (VALIDATIONS + 2) * self.validation) / self.step)

    def seconds_of(self, steps: int) -> float:
        """The time that a training of so many steps takes."""
        return self.beginning + (VALIDATIONS + 2) * self.validation + steps * self.step


@dataclass(frozen=True)
class Planned:
    """One training of a race."""

    variant: str
    fraction: float
    seed: int
    steps: int
    purpose: str  # "round 0", ..., "data", "time", "both"
    key: str = ""  # of its configuration, and the name of its file


@dataclass
class RaceState:
    """The decisions so far, as it stands in ``race.json``.

    Args:
        costs: by variant.
        blocks: lists of trainings that were planned together: three rounds, then the curves.
        used: seconds, of all sessions.
        notes: variants that left and why, by name.
    """

    costs: dict[str, Cost] = field(default_factory=dict)
    blocks: list[list[Planned]] = field(default_factory=list)
    used: float = 0.0
    notes: dict[str, str] = field(default_factory=dict)


def write_state(state: RaceState, folder: Path) -> None:
    """Write the decisions to the folder of a race."""
    atomic_write(folder / RACE, plain({"schema": SCHEMA, **asdict(state)}))


def read_state(folder: Path) -> RaceState:
    """The decisions of the race in a folder; none where none has begun.

    Raises: ValueError for a file of another schema, or that is no race.
    """
    try:
        return read_saved(folder / RACE, "race", _state, schema=SCHEMA)
    except FileNotFoundError:
        return RaceState()


def seconds_used(folder: Path) -> float:
    """The seconds that the race in a folder took so far; 0 where none has begun. Raises: as `read_state`."""
    return read_state(folder).used


def has_begun(folder: Path | str) -> bool:
    """Whether trainings of a race have been planned in a folder.

    Raises: ValueError for a file that is none of a race.
    """
    return bool(read_state(Path(folder)).blocks)


def _state(entries: Mapping[str, Any]) -> RaceState:
    costs = {name: record(Cost, cost) for name, cost in entries["costs"].items()}
    blocks = [[record(Planned, planned) for planned in block] for block in entries["blocks"]]
    state = RaceState(costs, blocks, entries["used"], entries["notes"])
    check_fields(state)
    if not all(blocks):
        raise ValueError("a list of trainings is empty")
    return state
