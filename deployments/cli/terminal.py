"""What the command line prints: the answer on standard output, everything else on standard error.

Every text passes here, so that none reaches a terminal with a secret, a control code or rich's own markup in it.
"""

import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from runbook.errors import RunbookError
from runbook.scrub import neutralise_terminal, scrub

if TYPE_CHECKING:
    from rich.markdown import Markdown

# Rows in a pipe are for grep and cut: they are never wrapped.
_PIPE_WIDTH = 10_000
_DAY_SECONDS = 86_400


def clean(text: object) -> str:
    """Return ``text`` without secrets and without what a terminal would act upon."""
    return scrub(neutralise_terminal(str(text)))


def one_line(text: object, *, limit: int = 200) -> str:
    """Return ``text`` clean, on one line, cut after ``limit`` characters."""
    line = " ".join(clean(text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def readable(value: object) -> str:
    """Return a value that was kept as JSON as people write it: ``run: 7; jobs: test, lint; required: yes``."""
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_part(inner)}" for name, inner in value.items()) or "none"
    if isinstance(value, list | tuple):
        return ", ".join(map(_part, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _part(value: object) -> str:
    return f"({readable(value)})" if isinstance(value, Mapping) and value else readable(value)


def say(text: object = "", *, style: str = "") -> None:
    """Print a line of the answer for people."""
    _console(sys.stdout).print(Text(clean(text), style=style))


def note(text: object, *, style: str = "") -> None:
    """Print progress or a remark, beside the answer."""
    _console(sys.stderr).print(Text(clean(text), style=style))


def print_json(data: object) -> None:
    """Print the answer for programs: one JSON document, and nothing else on standard output."""
    sys.stdout.write(json.dumps(_cleaned(data), indent=2, ensure_ascii=False) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Print a table for people; row by row, a field a line, where a word would not fit the terminal whole.

    Args:
        columns: The headings.
        rows: The cells, as they come from anywhere.
        title: A line above it.
    """
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    cells = [[clean(cell) for cell in row] for row in rows]
    for row in cells:
        table.add_row(*map(Text, row))
    if title:
        say(title, style="bold")
    console = _console(sys.stdout)
    if sys.stdout.isatty():
        # A digest or an address that is cut off cannot be copied.
        whole = Measurement.get(console, console.options.update_width(_PIPE_WIDTH), table).minimum
        if whole <= console.width:
            console.print(table)
            return
        for row in cells:
            print_fields(dict(zip(columns, row, strict=True)))
            say()
        return
    with console.capture() as captured:
        console.print(table)
    lines = (line.rstrip() for line in captured.get().splitlines())
    sys.stdout.write("".join(f"{line}\n" for line in lines if line))


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values, one a line; those that are empty are left out."""
    shown = {name: value for name, value in fields.items() if value not in (None, "")}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        line = Text.assemble((f"{name:<{width}}  ", "bold"), clean(value))
        _console(sys.stdout).print(line)


def print_markdown(text: str) -> None:
    """Print Markdown: laid out on a terminal, as it is written in a pipe."""
    if not sys.stdout.isatty():
        say(text)
        return
    _console(sys.stdout).print(laid_out(text, addresses=True))


def laid_out(text: str, *, addresses: bool) -> "Markdown":
    """Return GitHub's Markdown ready for a terminal, which would drop the little HTML in it.

    Args:
        text: What :mod:`runbook.report` made; folded parts are shown open, under their heading.
        addresses: Write each link's address out; else they are links where the terminal has such.
    """
    from rich.markdown import Markdown

    unfolded = re.sub(r"<details><summary>([^<]*)</summary>", r"**\1:**", clean(text))
    return Markdown(unfolded.replace("</details>", "").replace("<br>", " "), hyperlinks=not addresses)


def print_error(error: RunbookError) -> None:
    """Print what failed, what is unchanged and what to do next."""
    note(error.message, style="bold red")
    if error.unchanged:
        note(f"Unchanged: {error.unchanged}")
    if error.next_step:
        note(f"Next: {error.next_step}")


class _Notes(logging.Handler):
    """Shows what the clients say while they wait."""

    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


def show_waiting() -> None:
    """Print why a command is waiting (a rate limit, a server that is away); doing so twice changes nothing."""
    logger = logging.getLogger("runbook.clients")
    if not any(isinstance(handler, _Notes) for handler in logger.handlers):
        logger.addHandler(_Notes())
        logger.setLevel(logging.INFO)


def when(at: datetime | None) -> str:
    """Return a time as people read it; empty for None."""
    return at.strftime("%Y-%m-%d %H:%M:%S UTC") if at else ""


def span(seconds: float) -> str:
    """Return a length of time in its two largest units: ``3 min``, ``2 h 5 min``, ``4 d 1 h``."""
    left = int(max(0.0, seconds))
    if left < 60:
        return f"{left} s"
    parts = [
        (left // _DAY_SECONDS, "d"),
        (left % _DAY_SECONDS // 3600, "h"),
        (left % 3600 // 60, "min"),
    ]
    first = next(index for index, (number, _) in enumerate(parts) if number)
    return " ".join(f"{number} {unit}" for number, unit in parts[first : first + 2] if number)


def _console(file: IO[str]) -> Console:
    # Made anew for each print: standard output may have been replaced, and making one costs next to nothing.
    width = None if file.isatty() else _PIPE_WIDTH
    return Console(file=file, width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(key): _cleaned(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(inner) for inner in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return value
