"""The rows behind every table and plot of a measurement."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Report:
    """Rows of plain values with what is needed to read them; two reports are merged with ``+``.

    Args:
        title: what was measured.
        rows: one mapping per row, plain numbers and strings.
        metadata: group, dtype, number of samples, seed, ...
    """

    title: str
    rows: tuple[Mapping[str, Any], ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names in order of first appearance."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row))

    def table(self) -> str:
        """The rows as a Markdown table."""
        cells = [[_text(row.get(name)) for name in self.columns] for row in self.rows]
        widths = [max([len(name), *(len(line[k]) for line in cells)]) for k, name in enumerate(self.columns)]
        lines = [list(self.columns), ["-" * width for width in widths], *cells]
        return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths)) + " |" for line in lines)

    def to_dict(self) -> dict[str, Any]:
        """Title, rows and metadata as plain values."""
        return {"title": self.title, "rows": [dict(row) for row in self.rows], "metadata": dict(self.metadata)}

    def to_json(self) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def __add__(self, other: "Report") -> "Report":
        merged = {
            name: value
            if name not in other.metadata or other.metadata[name] == value
            else [value, other.metadata[name]]
            for name, value in {**other.metadata, **self.metadata}.items()
        }
        title = self.title if self.title == other.title else f"{self.title}; {other.title}"
        return Report(title, (*self.rows, *other.rows), merged)

    def __str__(self) -> str:
        notes = ", ".join(f"{name}: {value}" for name, value in self.metadata.items())
        return "\n".join(part for part in (self.title, notes, self.table()) if part)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value + 0.0:.4g}" if isinstance(value, float) else str(value)  # -0.0 + 0.0 is 0.0
