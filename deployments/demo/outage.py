"""An outage as a story: five workflows fail together, one webhook delivery is lost, and there is one incident."""

from uuid import uuid4

from deployments.demo.stage import Stage
from deployments.demo.story import StoryBroken, Told, incident_facts
from deployments.demo.teller import Teller
from runbook.engine.incidents import Incident
from runbook.requests import Mode, ReconcileRequest

RECONCILE = "reconcile-failed-runs"
WORKFLOWS = (
    "ci-build-push.yml",
    "ci-security-containers.yml",
    "ci-security-deps.yml",
    "ci-test.yml",
    "docs.yml",
)
LOG = (
    "##[group]Run pip install --require-hashes -r requirements.txt\n##[endgroup]\n"
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError': /simple/httpx/\n"
    "curl: (6) Could not resolve host: files.example.org\n"
    "##[error]Process completed with exit code 6.\n"
)


def tell(stage: Stage, teller: Teller) -> Told:
    """Play the story.

    Raises:
        StoryBroken: There is not exactly one incident for the five, or a failed attempt was not found.
        Transient: A step took too long.
    """
    repository = f"{stage.github['owner']}/{stage.github['repo']}"
    stage.tell_gateway(repository)
    with teller.stage("outage", f"A host that builds load from is gone: {len(WORKFLOWS)} workflows turn red"):
        stage.steer("faults", fault="lost_delivery", path_regex="workflow_run/completed", times=1)
        run_ids = _fail_together(stage, repository)
        teller.say(f"Runs {', '.join(map(str, run_ids))} of {repository}")
    announced = len(run_ids) - 1
    with teller.stage("webhooks", f"GitHub announces {announced} of them; one delivery is lost on the way"):
        heard = stage.await_(
            "the triage of what was announced",
            lambda: _incidents(stage, repository, run_ids, at_least=announced),
        )
        teller.say(f"{len(heard)} attempts are triaged, {len(run_ids) - len(heard)} nobody heard of")
    with teller.stage("reconcile", f"{RECONCILE} looks for what no webhook announced"):
        found = _reconcile(stage, repository)
        teller.say(found)
        by_run = stage.await_(
            "the triage of the lost one",
            lambda: _incidents(stage, repository, run_ids, at_least=len(run_ids)),
        )
    with teller.stage("one incident", "Five red workflows, one cause outside, one incident"):
        incident = _the_one(by_run)
        told = stage.await_("the issue to say so", lambda: _said_on_issue(stage, incident))
        teller.show(told, f"On {incident.issue_url}")
        again = _reconcile(stage, repository)
        if again != "nothing was missed":
            raise StoryBroken(f"A second pass found: {again}")
        teller.say("A second pass finds nothing.")
    calls = len(stage.requests_by_product())
    summary = {"what failed": ", ".join(WORKFLOWS), "incident": f"{incident.title} ({incident.issue_url})"}
    teller.summary({**summary, "GitHub API calls": str(calls)})
    return Told(
        ok=True,
        api_calls=calls,
        incident=incident_facts(incident),
        plan={},
    )


def _fail_together(stage: Stage, repository: str) -> tuple[int, ...]:
    """Start a run of each workflow that the outage breaks, and wait until they are red."""
    job = {
        "name": "build",
        "seconds": 1,
        "conclusion": "failure",
        "steps": ["Set up job", {"Install": "failure"}],
        "log": LOG,
    }
    runs = [
        {"workflow": workflow, "ago": 0, "queued_seconds": 0, "title": "Nightly", "jobs": [job]}
        for workflow in WORKFLOWS
    ]
    path = f"/repos/{repository}/actions/workflows?per_page=100"
    known = {one["path"].rsplit("/", 1)[-1] for one in stage.as_person("alice", "GET", path)["workflows"]}
    more = [{"file": workflow} for workflow in WORKFLOWS if workflow not in known]
    added = stage.steer("runs", repository=repository, workflows=more, runs=runs)
    run_ids = tuple(added["ids"])

    def red() -> bool | None:
        path = f"/repos/{repository}/actions/runs?status=failure&per_page=100"
        listed = {run["id"] for run in stage.as_person("alice", "GET", path)["workflow_runs"]}
        return set(run_ids) <= listed or None

    stage.await_("the runs to be red", red)
    return run_ids


def _incidents(
    stage: Stage, repository: str, run_ids: tuple[int, ...], *, at_least: int
) -> dict[int, Incident] | None:
    """Return the incident of each run that has one, once that many have."""
    incidents = stage.here.engine.incidents
    found = {
        run_id: incidents.of_attempt(repository=repository, run_id=run_id, run_attempt=1)
        for run_id in run_ids
    }
    known = {run_id: incident for run_id, incident in found.items() if incident is not None}
    return known if len(known) >= at_least else None


def _reconcile(stage: Stage, repository: str) -> str:
    """Run one pass to its end, and return what it says."""
    request, key = ReconcileRequest(repository=repository, mode=Mode.APPLY), str(uuid4())
    run = stage.ask(lambda prefect: prefect.create(RECONCILE, request, idempotency_key=key))

    def ended() -> str | None:
        state = stage.prefect.read(run.id)
        if not state.ended:
            return None
        if state.type != "COMPLETED":
            raise StoryBroken(f"{RECONCILE} ended as {state.state}: {state.message}")
        return state.message

    return stage.await_(f"{RECONCILE} to end", ended)


def _the_one(by_run: dict[int, Incident]) -> Incident:
    incidents = {incident.id: incident for incident in by_run.values()}
    if len(incidents) != 1:
        titles = ", ".join(incident.title for incident in incidents.values())
        raise StoryBroken(f"There are {len(incidents)} incidents for one outage: {titles}")
    return next(iter(incidents.values()))


def _said_on_issue(stage: Stage, incident: Incident) -> str | None:
    """Return the comment that names all of the workflows."""
    path = f"/repos/{incident.issues_repository}/issues/{incident.issue_number}/comments?per_page=100"
    said = (str(comment["body"]) for comment in stage.as_person("alice", "GET", path))
    return next((body for body in said if f"{len(WORKFLOWS)} workflows fail together" in body), None)
