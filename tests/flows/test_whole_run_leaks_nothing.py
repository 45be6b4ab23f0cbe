"""R8 over all that is in the theatre by now: a run through faults of its own, and every story told before it."""

import os
from pathlib import Path

from runbook.engine.states import ExecutionState
from tests.flows.theatre import Theatre


def test_a_run_goes_on_through_faults_of_every_kind(theatre: Theatre) -> None:
    """Reads fail, time out and are refused, and writes lose their answers; the story ends verified all the same."""
    repository = theatre.own_repository()
    path = f"/repos/{repository}/"
    theatre.box.fail("500_before", method="GET", path_regex=path, times=2)
    theatre.box.fail("reset", method="GET", path_regex=path, times=1)
    theatre.box.fail("500_after", method="POST", path_regex=f"{path}issues$", times=1)
    run = theatre.triage(repository)
    plan = theatre.asked(run.id)
    theatre.box.fail("reset_after", method="DELETE", path_regex=path, times=1)
    theatre.box.fail("500_after", method="POST", path_regex=f"{path}.*rerun", times=1)
    theatre.comment(plan, "alice", f"/approve {plan.short_digest}")
    theatre.resume(run.id)
    assert theatre.until("the end", lambda: theatre.ended(run.id)).state == "Verified"
    assert theatre.execution(run.id).state is ExecutionState.DONE
    applied = [request["path"] for request in theatre.effects_on(repository)]
    assert len(applied) == len(set(applied)) == 2


def test_a_refused_credential_is_said_without_being_shown(theatre: Theatre) -> None:
    repository = theatre.own_repository()
    theatre.box.fail(
        "403", method="GET", path_regex=f"/repos/{repository}/", times=1, message="Forbidden for you"
    )
    run = theatre.triage(repository)
    ended = theatre.until("the end", lambda: theatre.ended(run.id))
    assert ended.type == "FAILED"
    assert "Forbidden" in ended.message or "denied" in ended.message.lower() or "may not" in ended.message


def test_no_credential_is_anywhere(theatre: Theatre) -> None:
    """Prefect's database, the ledger, logs at debug level, artifacts, results, command lines, other environments."""
    assert theatre.files_holding(theatre.box.token, theatre.box.token[4:]) == []
    canaries = [theatre.box.token.encode(), theatre.box.token[4:].encode()]
    assert _processes_showing(canaries, "cmdline") == []
    server = (theatre.folder / "state" / "prefect-server.pid").read_text().strip()
    assert not any(canary in Path(f"/proc/{server}/environ").read_bytes() for canary in canaries)


def _processes_showing(canaries: list[bytes], what: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / what).read_bytes()
            except OSError:
                continue
            if any(canary in text for canary in canaries):
                found.append(int(entry.name))
    return found
