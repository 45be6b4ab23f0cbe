"""What people read stays whole: identifiers on a narrow terminal, folded parts without GitHub around them."""

import io
import sys

import pytest
from rich.console import Console

from deployments.cli import terminal

DIGEST = "caf39e08ee292caa"
LINK = "http://127.0.0.1:43327/acme/voice-agent/issues/2#issuecomment-2000000001"


class Screen(io.StringIO):
    """Standard output as a terminal has it."""

    def isatty(self) -> bool:
        return True


def _screen(monkeypatch: pytest.MonkeyPatch, *, columns: int) -> Screen:
    """Put a terminal of that width in the place of standard output."""
    stream = Screen()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    return stream


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_digest_and_link_are_never_cut_however_narrow_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    screen = _screen(monkeypatch, columns=columns)
    terminal.print_table(("Digest", "Procedure", "Link"), [(DIGEST, "clear-caches", LINK)])
    shown = screen.getvalue()
    assert DIGEST in shown
    assert LINK in shown
    assert "…" not in shown


def test_words_wrap_where_the_longest_of_each_column_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _screen(monkeypatch, columns=60)
    terminal.print_table(("Where", "Evidence"), [("job.log:31", "a few words " * 10)])
    assert "Where" in screen.getvalue().splitlines()[1]


def test_a_pipe_gets_one_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_table(("Digest", "Link"), [(DIGEST, LINK), (DIGEST, LINK)])
    lines = capsys.readouterr().out.splitlines()
    assert sum(DIGEST in line and LINK in line for line in lines) == 2


def test_html_of_github_is_shown_as_its_words() -> None:
    text = "<details><summary>Evidence</summary>\n\n```\nline 31\n```\n</details>\n\n| Why |\n| --- |\n| one<br>two |"
    console = Console(file=io.StringIO(), width=60, record=True)
    console.print(terminal.laid_out(text, addresses=False))
    shown = console.export_text()
    assert "Evidence:" in shown
    assert "line 31" in shown
    assert "one two" in shown
    assert "<" not in shown
