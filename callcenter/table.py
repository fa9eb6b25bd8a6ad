"""CSV files with a header, read so that an error names file, line and column."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_YES = frozenset({"1", "true", "yes", "y", "t"})
_NO = frozenset({"0", "false", "no", "n", "f", ""})


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file. Every reader raises ValueError that says where it stands and what it should be."""

    path: Path
    line: int
    cells: Mapping[str, str]

    def error(self, column: str, problem: str) -> ValueError:
        """Return the error that names this place."""
        return ValueError(f"{self.path}, line {self.line}, column {column}: {problem}")

    def text(self, column: str, default: str = "") -> str:
        """Return a cell without the spaces around it, or the default when it is empty or missing."""
        return self.cells.get(column, "").strip() or default

    def moment(self, column: str) -> datetime:
        """Return a date with time by the clock of the place; an offset from universal time is left out."""
        try:
            return datetime.fromisoformat(self.text(column)).replace(tzinfo=None)
        except ValueError:
            shown = repr(self.text(column))
            raise self.error(column, f"{shown} is no date and time like 2003-03-03 07:05") from None

    def count(self, column: str) -> int:
        """Return a whole number of at least 0."""
        text = self.text(column)
        if not (text.isascii() and text.isdigit()):
            raise self.error(column, f"{text!r} is no whole number of at least 0")
        return int(text)

    def seconds(self, column: str) -> float | None:
        """Return a number of at least 0, or None when the cell is empty or missing."""
        text = self.text(column)
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0.0 <= value < float("inf"):
            raise self.error(column, f"{text!r} is no number of seconds of at least 0")
        return value

    def yes(self, column: str) -> bool:
        """Return whether the cell says yes; an empty or missing one says no."""
        text = self.text(column).lower()
        if text not in _YES | _NO:
            raise self.error(column, f"{text!r} is neither yes nor no; write 1 or 0")
        return text in _YES


def rows(path: Path, required: Collection[str], names: Mapping[str, str] | None = None) -> Iterator[Row]:
    """Read the file's lines after the header. `names` maps the file's own column names to the ones asked for.

    Raises ValueError for a file without a line or without a required column, and for a line of another length.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file)
        header = [(names or {}).get(name.strip(), name.strip()) for name in next(lines, [])]
        if missing := [name for name in required if name not in header]:
            raise ValueError(
                f"{path}, line 1: the header lacks the column {missing[0]!r}; it has {', '.join(header)}"
            )
        empty = True
        for cells in lines:
            if not cells:
                continue
            if len(cells) != len(header):
                raise ValueError(
                    f"{path}, line {lines.line_num}: {len(cells)} columns, the header has {len(header)}"
                )
            empty = False
            yield Row(path, lines.line_num, dict(zip(header, cells, strict=True)))
    if empty:
        raise ValueError(f"{path}: there is no line after the header")
