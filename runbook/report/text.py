"""Words, tables and links as Markdown, and how a text is made to fit a comment; nothing about what is reported."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from runbook.scrub import markdown_code_block, neutralise_markdown, neutralise_terminal, scrub

MAX_ROWS = 50
"""Rows of a table that a comment shows where they fit."""

MOST_CHARACTERS = 65_000
"""Of one text: a GitHub comment holds 65,536 characters, and a record write adds its marker."""

MOST_READ = 20_000
"""Characters of one outside text that are looked at; what is shown is far shorter."""

_URL = re.compile(r"https?://[^\s()<>\[\]\\\"'`]+")


@dataclass(frozen=True)
class Size:
    """How much of everything is shown: rows of a table or list, and characters of one outside text."""

    rows: int
    characters: int


USUAL = Size(MAX_ROWS, 1_000)
"""What is shown where everything fits."""

WHOLE = Size(10_000, 1_000)
"""What is shown where nothing need fit."""

SIZES = (USUAL, Size(MAX_ROWS, 240), Size(20, 160), Size(8, 120), Size(3, 60))
"""From the largest to the smallest; the first that fits a comment is taken."""


def fitting_size(render: Callable[[Size], str], *, most: int = MOST_CHARACTERS) -> Size:
    """Return the largest size at which a text has at most so many characters, or else the smallest."""
    return next((size for size in SIZES if len(render(size)) <= most), SIZES[-1])


def fitting(render: Callable[[Size], str], *, most: int = MOST_CHARACTERS) -> str:
    """Render a text at the size that fits."""
    return render(fitting_size(render, most=most))


def sentences(*texts: str) -> str:
    """Join texts so that each ends as a sentence does."""
    return " ".join(text if text.endswith((".", "!", "?")) else f"{text}." for text in texts if text)


def sentence(reason: str) -> str:
    """Write a reason, which continues other words, as a sentence of its own."""
    return f"{reason[:1].upper()}{reason[1:]}."


def words(text: str, size: Size = USUAL) -> str:
    """Make text from anywhere harmless and secret-free as plain words on one line, cut to the size."""
    plain = _one_line(text)
    if len(plain) > size.characters:
        plain = f"{plain[: size.characters - 1]}…"
    return neutralise_markdown(plain)


def is_whole(text: str, size: Size) -> bool:
    """Tell whether :func:`words` shows all of a text at this size."""
    return len(text) <= MOST_READ and len(_one_line(text)) <= size.characters


def markdown_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, left_out: int = 0, whole: str = ""
) -> str:
    """Render a table of cells that are Markdown already.

    Args:
        columns: The heads.
        rows: The rows that are shown.
        left_out: How many more there are.
        whole: The command that lists them all.
    """
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    if left_out > 0:
        lines.append(f"\n… and {left_out} more{f' (`{whole}` lists them all)' if whole else ''}.")
    return "\n".join(lines)


def clean(text: str) -> str:
    """Take control codes and secrets out of outside text, of which only the beginning is read."""
    # Control codes go first: a secret of which a tool coloured a part would not be found among them.
    return scrub(neutralise_terminal(text[:MOST_READ]))


def _one_line(text: str) -> str:
    return " ".join(clean(text).split())


def code_block(text: str, size: Size) -> str:
    """Show outside text as a code block, cut to the size."""
    lines = clean(text).split("\n")[: size.rows]
    cut = (line if len(line) <= size.characters else f"{line[: size.characters - 1]}…" for line in lines)
    return markdown_code_block("\n".join(cut))


def link(text: str, url: str, size: Size) -> str:
    """Link words to an address; to something that is none, they stay words."""
    return f"[{words(text, size)}]({url})" if _URL.fullmatch(url) else words(text, size)


def and_more(left_out: int) -> str:
    """Say after a list how many of it are left out, if any."""
    return f" … and {left_out} more" if left_out > 0 else ""


def utc_time(at: datetime) -> str:
    """Write a time as people read it, to the second."""
    return at.strftime("%Y-%m-%d %H:%M:%S")
