"""The benchmark of the ledger at a small size: every call is timed, and today's work is the same whatever the past."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import ledger as benchmark
from benchmarks.ledger_history import REPOSITORY, TODAY, fill
from runbook.clock import VirtualClock
from runbook.engine.incidents import Incidents
from runbook.engine.ledger import Ledger
from runbook.engine.plans import Plans
from runbook.engine.states import IncidentState

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Ledger]:
    """Return an empty ledger."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger
    ledger.close()


@pytest.mark.parametrize("incidents", [TODAY, 123])
def test_whatever_its_past_a_ledger_has_as_much_to_do_today(room: Ledger, incidents: int) -> None:
    fill(room, incidents=incidents, now=NOW)
    written = Incidents(room, clock=VirtualClock(NOW))
    found = written.recent(limit=1_000)
    assert Counter(one.state for one in found) == {
        IncidentState.OPEN: 5,
        IncidentState.CLOSED: incidents - 5,
    }
    assert sum(one.together is not None for one in found if one.state is IncidentState.OPEN) == 1
    assert len(written.open_ones(REPOSITORY, limit=100)) == 5
    assert len(Plans(room, clock=VirtualClock(NOW)).waiting()) == 5


def test_each_call_is_timed_at_both_sizes_beside_the_yardstick() -> None:
    calls = benchmark.measure(incidents=40, rounds=2)
    assert benchmark.LOOK_UP in calls
    assert {"claim an attempt", "open an incident", "join an incident", "join an outage's incident"} <= set(
        calls
    )
    assert all(call.short_ms > 0 and call.long_ms > 0 for call in calls.values())


def test_the_ratios_tell_of_the_call_that_grew_most() -> None:
    calls = {benchmark.LOOK_UP: benchmark.Call(1.0, 1.0), "slow": benchmark.Call(1.0, 4.0)}
    assert benchmark.ratios(calls) == {
        "all_calls_long_past_to_short": 2.5,
        "slowest_grown_call": 4.0,
        "index_look_up": 1.0,
    }


@pytest.mark.parametrize("as_json", [False, True])
def test_it_is_a_command_that_prints_each_calls_ratio(
    as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--incidents", "20", "--rounds", "1", *(["--json"] if as_json else [])]
    monkeypatch.setattr(sys, "argv", ["benchmark", *arguments])
    assert benchmark.main() == 0
    said = capsys.readouterr().out
    if as_json:
        assert json.loads(said)[benchmark.LOOK_UP]["ratio"] > 0
    else:
        assert "index look up" in said


@pytest.mark.parametrize(("incidents", "rounds"), [(TODAY - 1, 1), (TODAY, 0)])
def test_too_little_to_measure_is_refused(incidents: int, rounds: int) -> None:
    with pytest.raises(SystemExit, match="At least 10 incidents"):
        benchmark.measure(incidents=incidents, rounds=rounds)
