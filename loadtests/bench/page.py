"""Writes the results into docs/benchmarks: tables between the markers of its README, and the pictures.

A table `x` stands between the comment lines ``begin x`` and ``end x``; the words around them are written by hand.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from loadtests.bench import plots
from loadtests.bench.figures import Row, spread, told
from loadtests.bench.results import Result, Results

TEMPLATE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "README.md"
PARTS = ("speed", "size", "peers")
_PICTURES = {
    "speed": {"load.png": "latency over load", "claim.png": "what a claim costs as the site grows"},
    "size": {"memory.png": "memory of a task and of a session, as a share of the target"},
    "peers": {"peers.png": "submit to start beside job queues"},
    "cpu": {"cpu.png": "CPU by operation and part"},
}
_NOTHING = "Not measured yet: `make bench`."
_HEAD = ("figure", "measured", "reference", "ratio", "target", "reached", "case")


def write(results: Results, out: Path, order: Sequence[str] = ()) -> None:
    """Rewrite the page, the cases in this order, and draw the pictures. Raises ValueError when it lacks a place."""
    names = [name for name in order if name in results.by_case]
    by_case = {name: results.by_case[name] for name in [*names, *results.by_case]}
    out.mkdir(parents=True, exist_ok=True)
    plots.draw({name: one.found for name, one in by_case.items()}, out)
    page = out / "README.md"
    template = page if page.exists() else TEMPLATE
    drawn = [path.name for path in out.glob("*.png")]
    page.write_text(filled(template.read_text(), parts(by_case, drawn)))


def parts(by_case: Mapping[str, Result], drawn: Collection[str] = ()) -> dict[str, str]:
    """Everything that stands between markers, by its name; ``drawn`` are the pictures that there are."""
    rows = [(name, row) for name, one in by_case.items() for row in one.found.rows]
    tables = {part: _figures([(name, row) for name, row in rows if row.part == part]) for part in PARTS}
    tables["cpu"] = _cpu([item for one in by_case.values() for item in one.found.cpu.items()])
    for part, pictures in _PICTURES.items():
        shown = [f"\n![{about}]({name})" for name, about in pictures.items() if name in drawn]
        tables[part] = "\n".join([tables[part], *shown])
    return {**tables, "made": _made(by_case) if by_case else _NOTHING}


def filled(text: str, parts: Mapping[str, str]) -> str:
    """The text with each part between its markers. Raises ValueError for a part without one pair of markers."""
    for name, part in parts.items():
        marked = re.compile(rf"(<!-- begin {name} -->\n).*?(<!-- end {name} -->)", re.DOTALL)
        text, found = marked.subn(lambda match, part=part: f"{match[1]}{part}\n{match[2]}", text)  # type: ignore[misc]
        if found != 1:
            raise ValueError(f"the page has {found} places for {name!r}: it needs one pair of markers")
    return text


def row_line(row: Row) -> str:
    """A figure in one line, for the terminal."""
    words = [f"{row.title}: {spread(row.values)} {row.unit}".rstrip()]
    if row.ratio is not None:
        words.append(f"{row.ratio:.2f} × {row.reference} ({spread(row.references)})")
    if row.judged:
        words.append(f"target {row.target.text(row.unit)}: {'reached' if row.reached else 'MISSED'}")
    return "; ".join(words + ([row.note] if row.note else []))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown, the first column to the left."""
    lines = [_line(head), "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *(_line(row) for row in rows)])


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _figures(rows: Sequence[tuple[str, Row]]) -> str:
    return table(_HEAD, (_cells(case, row) for case, row in rows)) if rows else _NOTHING


def _cells(case: str, row: Row) -> tuple[str, ...]:
    title = f"{row.title} ({row.note})" if row.note else row.title
    reference = f"{row.reference} {spread(row.references)} {row.unit}" if row.references else ""
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    reached = ("yes" if row.reached else "**no**") if row.judged else ""
    value = f"{spread(row.values)} {row.unit}".strip()
    return title, value, reference, ratio, row.target.text(row.unit), reached, f"`{case}`"


def _cpu(rows: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    head = ("operation", "router or bare server", "store", "client")
    cells = ((name, *(told(parts[part]) for part in ("router", "store", "client"))) for name, parts in rows)
    return table(head, cells) if rows else _NOTHING


def _made(by_case: Mapping[str, Result]) -> str:
    lines = [f"Machine: {', '.join(dict.fromkeys(one.made.machine for one in by_case.values()))}.", ""]
    lines.append(table(("case", "made"), ((f"`{name}`", one.made.words) for name, one in by_case.items())))
    said = [f"- `{name}`: {note}" for name, one in by_case.items() for note in dict.fromkeys(one.found.notes)]
    failed = [
        f"- `{name}` **failed** in the latest run: {one.failure.splitlines()[0]}"
        for name, one in by_case.items()
        if one.failure
    ]
    return "\n".join([*lines, *(["", *said, *failed] if said or failed else [])])
