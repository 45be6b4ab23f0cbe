"""One pass: exact lines, whatever the chunks; bounded hits, time and memory, whatever the log."""

import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runbook.triage.catalogue import builtin_catalogue
from runbook.triage.classify import classify_scans
from runbook.triage.lines import OVERLAP_BYTES
from runbook.triage.logs import NotText, from_bytes
from runbook.triage.scan import KEPT_PER_STEP, Scan, scan, scan_chunks
from tests.runbook.triage.build import job, stamped, step

CATALOGUE = builtin_catalogue()
SMALL_BLOCK = OVERLAP_BYTES + 300


def _scan(data: bytes, *, block_bytes: int = 1 << 20) -> Scan:
    return scan(from_bytes("log", data), CATALOGUE, block_bytes=block_bytes)


def _lines_of(found: Scan, signature: str) -> list[int]:
    return [hit.line for hit in found.hits if hit.signature.id == signature]


LINES = st.sampled_from(
    [
        "npm error code ERESOLVE",
        "E   AssertionError: assert 1 == 2",
        "##[group]Run make",
        "##[endgroup]",
        "##[error]Process completed with exit code 1.",
        "all is well",
        "",
        "\x1b[31mnpm error code E404\x1b[0m",
        "progress\r 50 %\rnpm error code ETARGET",
    ]
)


@settings(deadline=None)  # two busy cores
@given(st.lists(LINES, max_size=60), st.lists(st.integers(0, 4000), max_size=8))
def test_the_same_log_gives_the_same_hits_for_any_chunking(lines: list[str], cuts: list[int]) -> None:
    data = stamped(lines)
    marks = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[a:b] for a, b in pairwise(marks)]
    assert scan_chunks(chunks, CATALOGUE, name="log") == _scan(data)


@settings(deadline=None)  # two busy cores
@given(st.lists(LINES, max_size=200))
def test_line_numbers_are_exact_across_block_boundaries(lines: list[str]) -> None:
    found = _scan(stamped(lines), block_bytes=SMALL_BLOCK)
    assert found.lines == len(lines)
    wanted = [number for number, line in enumerate(lines, start=1) if "npm error code" in line]
    assert _lines_of(found, "npm.resolve") == wanted[: len(_lines_of(found, "npm.resolve"))]
    assert len(_lines_of(found, "npm.resolve")) >= min(len(wanted), KEPT_PER_STEP)


@settings(deadline=None)  # two busy cores
@given(st.binary(max_size=3000))
@example(b"")
@example(b"\n")
@example(b"\xff\xfe")
@example(b"\xff")
@example(b"\xfe\xff\xd8")
@example(b"##[group]Run ")
@example(b"##[error]Process completed with exit code 99999999999.")
@example(b"9999-99-99T99:99:99Z ##[error]The operation was canceled.\n")
def test_no_bytes_make_triage_crash(data: bytes) -> None:
    try:
        found = _scan(data)
    except NotText:
        return
    assert 0.0 <= classify_scans([found]).confidence <= 1.0


def test_lines_end_at_newline_only() -> None:
    data = b"a\rb\x0bc\x0cd\xe2\x80\xa8e\nnpm error code E404\n"
    assert _lines_of(_scan(data), "npm.resolve") == [2]


def test_a_last_line_without_newline_counts() -> None:
    found = _scan(b"x\nnpm error code E404")
    assert (found.lines, _lines_of(found, "npm.resolve")) == (2, [2])


def test_of_a_progress_bar_only_the_stretch_that_matches_is_shown() -> None:
    found = _scan(b"10 %\r20 %\rnpm error code E404\rdone\n")
    assert [hit.text for hit in found.hits if hit.signature.id == "npm.resolve"] == ["npm error code E404"]


def test_a_flood_of_one_error_keeps_its_first_lines_per_step() -> None:
    flood = ["E   AssertionError: no"] * 500
    found = _scan(stamped(job(step("pytest a", *flood, code=1), step("pytest b", *flood, code=1))))
    kept = _lines_of(found, "pytest.error-line")
    assert len(kept) == 2 * KEPT_PER_STEP
    assert kept[:2] == [5, 6]
    assert len(_lines_of(found, "step.exit")) == 2


def test_in_columns_a_step_begins_with_its_first_line_even_amid_a_flood() -> None:
    rows = [
        f"test\t{name}\t2026-11-24T06:00:00.1Z E   AssertionError: no" for name in ["one"] * 60 + ["two"] * 60
    ]
    found = _scan("\n".join(rows).encode())
    lines = _lines_of(found, "pytest.error-line")
    assert len(lines) == 2 * KEPT_PER_STEP
    assert 61 in lines


@pytest.mark.parametrize("before", range(SMALL_BLOCK - 30, SMALL_BLOCK + 5, 5))
def test_what_stands_where_an_overlong_line_is_cut_is_found_once(before: int) -> None:
    line = b"x" * (before - 1) + b" npm no space left on device " + b"y" * (3 * SMALL_BLOCK) + b"\n"
    assert _lines_of(_scan(line, block_bytes=SMALL_BLOCK), "machine.disk") == [1]


def test_one_line_of_many_megabytes_is_read_in_bounded_memory() -> None:
    size, flood = 24 << 20, 2 << 20
    piece = b"error: " * (1 << 16 >> 3) + b"12345678" * 16

    def chunks() -> Iterator[bytes]:
        yield b"short\n"
        for begin in range(0, size, 1 << 16):
            # Each match costs a call: what looks like errors need not go on to the end to be too many.
            yield piece if begin < flood else b"12345678" * (len(piece) >> 3)
        yield b" npm error code E404 \nE   AssertionError: x\n"

    CATALOGUE.databases  # noqa: B018 - compiled before measuring
    tracemalloc.start()
    found = scan_chunks(chunks(), CATALOGUE, name="log")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 << 20
    assert found.lines == 3
    assert _lines_of(found, "pytest.error-line") == [3]


def test_several_threads_share_one_catalogue() -> None:
    """Hyperscan refuses a second scan in the working memory of one that goes on."""
    data = stamped(job(step("pytest", *["E   AssertionError: no"] * 5_000, code=1)))
    wanted = _scan(data)
    with ThreadPoolExecutor(max_workers=4) as readers:
        assert all(found == wanted for found in readers.map(_scan, [data] * 12))


@pytest.mark.parametrize("data", [b"\x7fELF\x02\x01\x01" + bytes(500), bytes(range(32)) * 50, b"\x00" * 100])
def test_what_is_not_text_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(NotText, match="log is not text"):
        _scan(data)
