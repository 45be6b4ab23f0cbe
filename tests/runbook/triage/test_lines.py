"""What one raw line says, whoever printed it; and that line numbers hold however the bytes arrive."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.triage.lines import OVERLAP_BYTES, Line, bare, blocks, read_line

ESC = "\x1b"


@pytest.mark.parametrize(
    ("raw", "columns", "expected"),
    [
        ("plain text", False, Line("", "", "", "plain text")),
        ("2026-11-24T06:00:01.1234567Z hello", False, Line("", "", "2026-11-24T06:00:01.1234567Z", "hello")),
        ("2026-11-24T06:00:01Z   indented", False, Line("", "", "2026-11-24T06:00:01Z", "  indented")),
        ("2026-11-24T06:00:01.1234567Z", False, Line("", "", "2026-11-24T06:00:01.1234567Z", "")),
        ("\ufeff2026-11-24T06:00:01.1Z x\r", False, Line("", "", "2026-11-24T06:00:01.1Z", "x")),
        (
            "test (3.12)\tRun pytest\t2026-11-24T06:00:01.1Z x",
            False,
            Line("test (3.12)", "Run pytest", "2026-11-24T06:00:01.1Z", "x"),
        ),
        (
            "lint\tSet up job\t\ufeff2026-11-24T06:00:01.1Z x",
            False,
            Line("lint", "Set up job", "2026-11-24T06:00:01.1Z", "x"),
        ),
        (
            "lint\tRun ruff\tthe rest of a message",
            True,
            Line("lint", "Run ruff", "", "the rest of a message"),
        ),
        ("a\tb\tno log of gh", False, Line("", "", "", "a\tb\tno log of gh")),
        (
            "actionlint    2026-11-24T06:00:01.1Z x",
            False,
            Line("actionlint", "", "2026-11-24T06:00:01.1Z", "x"),
        ),
        (
            "2026-11-24T06:00:01.1Z 00O runner's own",
            False,
            Line("", "", "2026-11-24T06:00:01.1Z", "runner's own"),
        ),
    ],
)
def test_job_step_and_time_are_told_from_the_text(raw: str, columns: bool, expected: Line) -> None:
    assert read_line(raw.encode(), columns=columns) == expected


@pytest.mark.parametrize(
    ("text", "innermost"),
    [
        ("##[error]x failed", "x failed"),
        ("::error file=a.py,line=3::x failed", "x failed"),
        ("#12 34.5 npm error code E404", "npm error code E404"),
        ("#9 ERROR: process failed", "ERROR: process failed"),
        ("    [junit] Failures (1):", "Failures (1):"),
        ("@acme/app:build: error TS2322", "error TS2322"),
        ("db-1   | Killed", "Killed"),
        ("##[warning]x failed", "##[warning]x failed"),
    ],
)
def test_wrappers_go_but_a_warning_stays_one(text: str, innermost: str) -> None:
    assert bare(text) == innermost


def test_colour_and_cursor_codes_are_gone_before_anything_is_looked_for() -> None:
    raw = f"{ESC}[36;1mpip{ESC}[0m {ESC}]0;title\x07install{ESC}[K\n".encode()
    assert b"".join(block.data for block in blocks([raw])) == b"pip install\n"


def test_utf_16_with_a_byte_order_mark_is_understood() -> None:
    raw = "first\nsecond ✓\n".encode("utf-16")
    assert (
        b"".join(block.data for block in blocks([raw[:1], raw[1:5], raw[5:]])).decode() == "first\nsecond ✓\n"
    )


@settings(deadline=None)  # two busy cores
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6), st.integers(1, 50))
def test_blocks_hold_all_bytes_and_count_their_lines_whatever_the_chunks(
    data: bytes, cuts: list[int], block_bytes: int
) -> None:
    data = b"x" + data.replace(b"\x1b", b"e")
    block_bytes += OVERLAP_BYTES
    marks = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[a:b] for a, b in pairwise(marks)]
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return
    found = list(blocks(chunks, block_bytes=block_bytes))
    assert b"".join(block.data for block in found) == data
    line = 1
    for block in found:
        assert block.first_line == line
        assert block.line_ends == block.data.count(b"\n")
        line += block.line_ends


def test_a_line_longer_than_a_block_is_cut_with_an_overlap_and_stays_one_line() -> None:
    size = 4 * OVERLAP_BYTES
    data = b"a\n" + b"b" * (3 * size) + b"\nc\n"
    found = list(blocks([data], block_bytes=size))
    assert {block.first_line for block in found if b"b" in block.data} == {2}
    assert found[-1].first_line + found[-1].line_ends == 4
