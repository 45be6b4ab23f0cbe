"""An execution that is over and left something, on GitHub's stand-in: what tests of exceptions begin with."""

from datetime import timedelta
from typing import Any

import sandbox
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.engine.engine import Ended, Verification
from runbook.engine.exception_rows import StandingException
from runbook.engine.executions import Requester
from runbook.engine.plan import Plan
from runbook.engine.states import ExecutionState, RequesterKind
from runbook.installation import Installation
from tests.runbook.engine.conftest import VIEW
from tests.runbook.engine.passing import let_pass
from tests.runbook.engine.test_kill_matrix import REPOSITORY
from tests.runbook.engine.test_kill_matrix import SCENARIO as PLAIN

_RUN = PLAIN["repositories"][REPOSITORY]["runs"][0]
SCENARIO: dict[str, Any] = {
    **PLAIN,
    "users": {**PLAIN["users"], "bob": {}, "carol": {}},
    "repositories": {
        REPOSITORY: {
            **PLAIN["repositories"][REPOSITORY],
            "roles": {"runbook-bot": "write", "alice": "admin", "bob": "read", "carol": "write"},
            "runs": [{**_RUN, "jobs": [{**_RUN["jobs"][0], "rerun": {"seconds": 86_400}}]}],
        }
    },
}
"""Alice may approve, bob is an approver without permission, carol is none; a failed run whose re-run takes long."""

PROCEDURE = "rollback-image"
BAD = f"ghcr.io/acme/vibevoice-tts@sha256:{'0bad' * 16}"
DEADLINE_HOURS = 4


def leave_rerun(here: Installation, box: sandbox.Box, *, execution_id: str = "e1") -> StandingException:
    """Re-run a failed run, as something that is to be taken back (cancelled) at the deadline."""
    begin(here, execution_id)
    run = next(iter(box.repository.runs))
    effect = RerunFailedJobs(repository=REPOSITORY, run_id=run, failed_attempt=1, workflow_file="ci-test.yml")
    plan = Plan.of(procedure=PROCEDURE, repository=REPOSITORY, effects=[effect])
    stored = here.engine.plans.store(execution_id, plan, view=VIEW, expires_after_seconds=3600)
    done = Verification(passed=True, reason="looked")
    outcome = here.engine.apply(let_pass(here.engine, stored), verify=lambda lease: done)
    assert outcome.ended is Ended.DONE
    left = here.engine.exceptions.add_restore(
        execution_id,
        effect_id=outcome.entries[0].id,
        repository=REPOSITORY,
        owner="alice",
        reason="a second try",
        deadline=here.clock.now() + timedelta(hours=DEADLINE_HOURS),
        incident_id=incident_of(here, execution_id, box),
    )
    assert left is not None
    here.engine.executions.end(execution_id, ExecutionState.DONE, reason="done")
    return left


def leave_bar(here: Installation, box: sandbox.Box, *, subject: str = BAD) -> StandingException:
    """Bar an image after a rollback that is over, with its incident closed."""
    begin(here, "e1")
    incident = incident_of(here, "e1", box)
    bar = here.engine.exceptions.add_bar(
        "e1",
        repository=REPOSITORY,
        subject=subject,
        service="tts-service",
        owner="alice",
        reason="it crashes",
        deadline=here.clock.now() + timedelta(days=90),
        incident_id=incident,
    )
    here.engine.executions.end("e1", ExecutionState.DONE, reason="done")
    here.engine.incidents.close(incident, resolution="rolled back")
    box.repository.issues[issue_of(box)].state = "closed"
    return here.engine.exceptions.get(bar.id)


def leave_obligation(here: Installation, box: sandbox.Box) -> StandingException:
    """Owe a merge."""
    begin(here, "e1")
    owed = here.engine.exceptions.add_obligation(
        "e1",
        repository=REPOSITORY,
        subject="merge the hotfix to main",
        owner="alice",
        reason="it was deployed from a branch",
        deadline=here.clock.now() + timedelta(hours=DEADLINE_HOURS),
        incident_id=incident_of(here, "e1", box),
    )
    here.engine.executions.end("e1", ExecutionState.DONE, reason="done")
    return here.engine.exceptions.get(owed.id)


def begin(here: Installation, execution_id: str) -> None:
    """Begin an execution that alice asked for."""
    here.engine.executions.begin(
        execution_id,
        procedure=PROCEDURE,
        repository=REPOSITORY,
        subject="tts-service",
        request={},
        requester=Requester(RequesterKind.PERSON, "alice"),
    )


def incident_of(here: Installation, execution_id: str, box: sandbox.Box) -> int:
    """Give it an incident, whose issue is the stand-in's first."""
    incident = here.engine.incidents.open_or_join(
        execution_id,
        repository=REPOSITORY,
        issues_repository=REPOSITORY,
        fingerprint="f00d",
        failure_class="deployment",
        severity="P0",
        title="P0: tts-service",
        detail={},
    )
    number = issue_of(box)
    here.engine.incidents.issue_opened(incident.id, number=number, url=f"{box.url}/issues/{number}")
    return incident.id


def issue_of(box: sandbox.Box) -> int:
    """Return the incident's issue."""
    return next(iter(box.repository.issues))
