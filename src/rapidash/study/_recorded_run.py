"""One record of a study as it is read: nested values with their types, and what is missing said as such."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rapidash.study._level import Level, row_name


@dataclass(frozen=True)
class Run:
    """One record: what was run, and what came of it.

    Args:
        raw: the record as it lies on the disk.
        level: the values of the study's factors, beside seed and fraction, that the run has.
    """

    raw: Mapping[str, Any]
    level: Level = field(default_factory=dict)

    def get(self, *path: str) -> Any:
        """The value under nested keys, or None where a key is missing."""
        value: Any = self.raw
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def number(self, *path: str) -> float | None:
        """The finite number under nested keys; None where it is missing, not a number, NaN or infinite."""
        value = self.get(*path)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return None
        return float(value)

    def text(self, *path: str) -> str:
        """The value under nested keys in words, and the empty string where it is missing."""
        value = self.get(*path)
        return "" if value is None else str(value)

    @property
    def variant(self) -> str:
        """Name of the variant."""
        return self.text("config", "variant", "name")

    @property
    def row(self) -> str:
        """The variant at the level of the run, in words: what is one row of a table."""
        return row_name(self.variant, self.level)

    @property
    def seed(self) -> int:
        """Seed of the run."""
        seed = self.get("config", "seed")
        return seed if isinstance(seed, int) else 0

    @property
    def fraction(self) -> float:
        """Share of the training set that was used; 1 where the record does not say."""
        fraction = self.number("config", "fraction")
        return 1.0 if fraction is None else fraction

    @property
    def is_done(self) -> bool:
        """Whether the run ended with a finite test error."""
        return self.get("status") == "done" and self.number("test_error") is not None

    @property
    def problem(self) -> str:
        """The reason that the run gives no number, in one line; empty for a run that gives one."""
        if self.is_done:
            return ""
        if self.get("status") == "done":
            return "diverged: its test error is not a finite number"
        lines = self.text("error").strip().splitlines()
        return shortened(lines[-1]) if lines else f"status {self.text('status') or 'unknown'}"

    @property
    def measurements(self) -> list[dict[str, Any]]:
        """The figures of the run, each with its name, value, unit, group, moment, view and what is better.

        Records of earlier versions have those that the task reports beside its metric.
        """
        entries = self.get("measurements")
        if entries is None:
            entries = [{"name": name, "value": value} for name, value in (self.get("test_details") or {}).items()]
        plain = {"unit": "", "group": "", "moment": "after", "view": "", "better": "", "value": None}
        named = (entry for entry in entries if entry.get("name"))
        return [plain | {key: value for key, value in entry.items() if value is not None} for entry in named]

    @property
    def history(self) -> list[Mapping[str, Any]]:
        """Rows of the learning curve; empty where the record has none."""
        rows = self.get("history")
        return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def shortened(text: str, length: int = 300) -> str:
    """A text for one line of a report."""
    return text if len(text) <= length else f"{text[:length]}..."
