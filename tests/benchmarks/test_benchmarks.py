"""Every benchmark runs at a small size, and what does not depend on the size holds there already."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import benchmarks.__main__ as everything
from benchmarks import clear_caches, log_scan
from benchmarks.__main__ import measure

CORPUS = {
    "cause": (
        "build_failure",
        2,
        "make\nsrc/a.c:3:5: error: expected ';'\n##[error]Process completed with exit code 2.\n",
    ),
    "green": ("passing", 0, "make\nall done\n"),
}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Return a corpus of two made-up logs in the form of the real one."""
    (tmp_path / "logs").mkdir()
    rows = ["id\tclass\tfirst_cause_lineno"]
    for name, (label, line, text) in CORPUS.items():
        (tmp_path / "logs" / f"{name}.log").write_text(text)
        rows.append(f"{name}\t{label}\t{line or '-'}")
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_clearing_caches_takes_the_fewest_calls_and_trips_no_limit() -> None:
    found = measure(caches=120, mebibytes=1, runs=0, incidents=0, services=0, corpus=None)
    ratios = found["clear 120 caches"]
    assert ratios["calls_to_least_possible"] == 1.0
    assert ratios["refusals_to_calls"] == 0.0
    assert ratios["calls_by_hand_to_ours"] > 1.0


def test_triage_is_measured_where_a_corpus_is_named(corpus: Path) -> None:
    found = measure(caches=20, mebibytes=1, runs=0, incidents=0, services=0, corpus=corpus)
    ratios = found["triage labelled logs"]
    assert ratios["first_cause_near_the_label"] == 1.0
    assert ratios["false_alarms_on_passing_logs"] == 0.0


@pytest.mark.parametrize(
    ("main", "arguments", "said"),
    [
        (
            everything.main,
            ["--caches", "20", "--mebibytes", "1", "--runs", "0", "--incidents", "10", "--services", "0"],
            "throughput to grep",
        ),
        (clear_caches.main, ["--caches", "20"], "calls to least possible"),
        (log_scan.main, ["--mebibytes", "1"], "ratio"),
    ],
    ids=["all", "clear_caches", "log_scan"],
)
def test_a_benchmark_is_a_command_that_prints_its_ratios(
    main: Callable[[], int | None],
    arguments: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    monkeypatch.delenv("RUNBOOK_CORPUS", raising=False)
    assert not main()
    assert said in capsys.readouterr().out
