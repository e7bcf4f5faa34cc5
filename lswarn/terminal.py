"""How the command line shows things: tables, JSON, progress. Answers go to standard output,
progress and complaints to standard error.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

# Into a pipe or file a row stays on one line, however long.
out = Console(width=None if sys.stdout.isatty() else 240)
err = Console(stderr=True)


def say(sentence: str) -> None:
    """One line, as it is."""
    out.print(sentence, soft_wrap=True, highlight=False, markup=False)


def show_table(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Rows as a table, or as a JSON list."""
    if as_json:
        print(json.dumps([dict(row) for row in rows], default=str, indent=2, ensure_ascii=False))  # noqa: T201
        return
    if not rows:
        say("nothing yet")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    *short, last = rows[0]
    for column in short:  # days and numbers stay on one line, the last column takes what room there is
        table.add_column(column.replace("_", " "), no_wrap=True)
    table.add_column(last.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    out.print(table)


def show_facts(facts: Mapping[str, Any], as_json: bool) -> None:
    """One thing's facts as lines, or as a JSON object."""
    if as_json:
        print(json.dumps(dict(facts), default=str, indent=2, ensure_ascii=False))  # noqa: T201
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        table.add_row(name.replace("_", " "), Text(_cell(value)))
    out.print(table)


def _cell(value: object) -> str:
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case IntEnum():
            return value.name
        case float():
            return f"{value:.4g}"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M}"
        case Mapping():
            return ", ".join(f"{name.replace('_', ' ')} {_cell(part)}" for name, part in value.items()) or "–"
        case list() | tuple():
            return "\n".join(_cell(part) for part in value) or "–"
    return str(value)


@contextmanager
def progress(what: str, total: float | None) -> Iterator[Callable[..., None]]:
    """A bar on a terminal, a line every tenth of the way elsewhere."""
    if err.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        with Progress(*columns, TextColumn("{task.fields[note]}"), console=err, transient=True) as bar:
            task = bar.add_task(what, total=total, note="")

            def move(done: float, note: str = "", of: float | None = None) -> None:
                bar.update(task, completed=done, note=note, total=of or total)

            yield move
        return
    told, begun = -1, (time.monotonic(), 0.0)

    def say(done: float, note: str = "", of: float | None = None) -> None:
        nonlocal told, begun
        whole = of or total or 1
        tenth = int(10 * done / whole)
        if tenth <= told:
            return
        left = ""
        if told < 0:
            begun = time.monotonic(), done  # what an earlier try had done says nothing of the speed
        elif begun[1] < done < whole:
            seconds = (time.monotonic() - begun[0]) / (done - begun[1]) * (whole - done)
            left = f"about {timedelta(seconds=round(seconds))} left"
        told = tenth
        err.print(" ".join(part for part in (f"{what}: {10 * tenth} %", left, note) if part), highlight=False)

    yield say
