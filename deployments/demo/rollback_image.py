"""A bad image in production as a story: the deployment fails, and both services that move together go back."""

from dataclasses import dataclass
from typing import Any

from deployments.demo import story
from deployments.demo.cluster import Cluster
from deployments.demo.stage import WEBHOOK_EVENTS, Stage
from deployments.demo.story import StoryBroken, Told
from deployments.demo.teller import Teller
from runbook.decisions.exceptions import ExceptionKind
from runbook.policy.estate import Service

PROCEDURE = "rollback-image"
DEPLOYER = "carol"
WELL = 200


@dataclass(frozen=True)
class Scene:
    """The services in the cluster.

    Args:
        services: As the policy names them.
        cluster: Where they run.
    """

    services: tuple[Service, ...]
    cluster: Cluster

    def images(self) -> dict[str, tuple[str, ...]]:
        """Return the images of each service's workload."""
        return {one.name: self.cluster.images(one.namespace, one.name) for one in self.services}

    def health(self) -> dict[str, int]:
        """Return the HTTP status that each service answers at its health path."""
        return {
            one.name: self.cluster.health(one.namespace, one.name, port=one.port, path=one.health_path)
            for one in self.services
        }

    def in_words(self) -> list[str]:
        """Say for each service what runs, and how it is."""
        health = self.health()
        return [
            f"{name}: {', '.join(images)}, health {health[name]}" for name, images in self.images().items()
        ]


def tell(stage: Stage, teller: Teller) -> Told:
    """Play the story.

    Raises:
        StoryBroken: Something was changed without approval, or the rollback did not end as it must.
        Transient: A step took too long.
    """
    repository = f"{stage.github['owner']}/{stage.github['repo']}"
    scene = Scene(stage.here.policy.services, stage.cluster)
    bad = scene.images()
    with teller.stage("failure", f"{DEPLOYER}'s deployment to production is bad"):
        for line in scene.in_words():
            teller.say(line)
        stage.tell_gateway(repository, events=(*WEBHOOK_EVENTS, "deployment_status"))
        _fail_deployment(stage, teller, repository)
    with teller.stage("plan", f"GitHub tells the gateway by a signed webhook, which starts {PROCEDURE}"):
        run_id = stage.await_("the webhook to start a rollback", lambda: _rollback(stage))
        teller.say(f"POST {stage.gateway}/webhooks/github → run {run_id}")
        teller.say(f"Watch it: {stage.up.ui_url}/v2/runs/flow-run/{run_id}")
        plan = stage.await_("a plan that waits for approval", lambda: story.suspended(stage, run_id, asks=1))
        incident = story.incident_of(stage, run_id)
        teller.say(f"Incident: {incident.title} ({incident.issue_url})")
        story.show_artifact(stage, teller, run_id, "plan", "The plan, on the incident's issue")
    with teller.stage("approval by a stranger", "mallory, who is not entitled, comments /approve"):
        story.comment(stage, plan, "mallory", f"/approve {plan.short_digest}")
        stage.ask(lambda prefect: prefect.resume(run_id))
        stage.await_("the run to sleep again", lambda: story.suspended(stage, run_id, asks=2))
        story.require_only_records(stage, teller)
        _require_unchanged(scene, bad, teller)
    with teller.stage("approval and rollback", "alice, who is entitled, comments /approve"):
        story.comment(stage, plan, "alice", f"/approve {plan.short_digest}")
        _await_end(stage, teller, run_id)
        story.show_effects(stage, teller, plan)
        story.show_artifact(stage, teller, run_id, "report", "The report")
    with teller.stage("verification", "The outside world and the audit agree"):
        story.verify(stage, teller, plan, incident, _checks(stage, scene, bad, repository))
        for line in scene.in_words():
            teller.say(line)
    calls = len(stage.requests_by_product())
    closed = stage.here.engine.incidents.get(incident.id)
    teller.summary(
        {
            "what was wrong": incident.title,
            "what was done": plan.view.title,
            "how it ended": closed.resolution,
            "incident": closed.issue_url,
            "GitHub API calls": str(calls),
        }
    )
    return story.told_of(stage, plan, incident, calls=calls)


def _fail_deployment(stage: Stage, teller: Teller, repository: str) -> None:
    """Have the newest deployment fail, as whoever deploys says it to GitHub."""
    path = f"/repos/{repository}/deployments"
    newest: dict[str, Any] = stage.as_person(DEPLOYER, "GET", f"{path}?environment=production&per_page=1")[0]
    said = "the services answer 500 at /health"
    stage.as_person(DEPLOYER, "POST", f"{path}/{newest['id']}/statuses", state="failure", description=said)
    teller.say(f"Deployment {newest['id']} of {newest['sha'][:7]} to production: failure ({said})")


def _rollback(stage: Stage) -> str | None:
    """Return the run that the delivery started, once it has begun."""
    executions = stage.here.engine.executions.open()
    return next((one.id for one in executions if one.procedure == PROCEDURE), None)


def _require_unchanged(scene: Scene, bad: dict[str, tuple[str, ...]], teller: Teller) -> None:
    """Check that nothing was changed in the cluster.

    Raises:
        StoryBroken: Something was.
    """
    writes = scene.cluster.writes()
    if writes or scene.images() != bad:
        raise StoryBroken(f"Changed in the cluster without approval: {', '.join(writes) or scene.images()}.")
    teller.say("Nothing was changed in the cluster.")


def _await_end(stage: Stage, teller: Teller, run_id: str) -> None:
    """Wait for the verified end, and tell how rollout and soak go on."""
    told: str | None = None

    def look() -> bool | None:
        nonlocal told
        said = stage.prefect.progress(run_id)
        if said is not None and said != told:
            teller.say(said)
            told = said
        return story.verified(stage, run_id)

    stage.await_("the rollback's verified end", look)


def _checks(stage: Stage, scene: Scene, bad: dict[str, tuple[str, ...]], repository: str) -> dict[str, bool]:
    """Look at the cluster past the product, and at what is barred."""
    now, health = scene.images(), scene.health()
    bars = {
        one.service: one.subject
        for one in stage.here.engine.exceptions.open(kind=ExceptionKind.BAR, repository=repository)
    }
    pulls = stage.as_person("alice", "GET", f"/repos/{repository}/pulls?state=open")
    checks = {
        "a pull request that reverts the bad commit is open": any(
            one["user"]["login"] == stage.here.product_login for one in pulls
        )
    }
    for name, images in bad.items():
        checks[f"{name} no longer has its bad image"] = now[name] != images
        checks[f"{name} answers {WELL} through the API server"] = health[name] == WELL
        checks[f"{bars.get(name, 'its digest')} is barred"] = "@sha256:" in bars.get(name, "")
    return checks
