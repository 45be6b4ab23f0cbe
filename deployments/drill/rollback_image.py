"""The rehearsal of `rollback-image`: the newest image of a set is bad, the one before it was good."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deployments.demo.stage import Stage
from deployments.drill.cast import cast_for
from deployments.drill.rehearsal import (
    Rehearsal,
    Scenario,
    base_scenario,
    repository_in,
    require_no_freeze,
)
from runbook import report
from runbook.canonical import digest
from runbook.decisions.exceptions import ExceptionKind
from runbook.decisions.image_reference import parse_image
from runbook.decisions.rollback_set import SetRefused, expand
from runbook.errors import UsageError
from runbook.policy import Policy
from runbook.policy.estate import GoodSign, Service
from runbook.requests import Mode, RollbackImageRequest

PROCEDURE = "rollback-image"
REGISTRY = "ghcr.io"
"""The only registry that the product can ask whether it still has an image."""
REPLICAS = 2
BAD, WELL = 500, 200
BAD_AGO_MINUTES = 10.0
"""So long ago the bad images were deployed."""
GOOD_FOR_MINUTES = 60.0
"""So much longer than the policy asks for the good ones were in service."""
ROLLOUT_SECONDS = 60.0
"""So long a rollout takes in the sandbox at most, whatever the policy would bear with."""

_GOOD_SHA, _BAD_SHA = digest({"commit": "good"})[:40], digest({"commit": "bad"})[:40]
_OWN_WORKFLOW = "drill.yml"


@dataclass(frozen=True)
class Version:
    """One version of the set: what it was built from, when it was deployed, how it is."""

    name: str
    sha: str
    ago_minutes: float
    health: int

    def image(self, service: Service) -> str:
        """Return the reference of a service's image."""
        return f"{service.image}:sha-{self.sha[:12]}"

    def image_digest(self, service: Service) -> str:
        """Return that image's digest."""
        return f"sha256:{digest({'image': self.image(service)})}"


def rehearsal(policy: Policy, service: str | None, now: datetime) -> Rehearsal:
    """Prepare the rehearsal: a cluster with the set's services, each with a good revision and a bad one.

    Args:
        policy: The policy.
        service: A service that it names; its first one where None. What moves with it comes along.
        now: The time.

    Raises:
        UsageError: The policy names no such service, cannot call any of its revisions good, freezes the procedure,
            or wants more approvals than it names people for.
    """
    services = _set_of(policy, service)
    repository = policy.repository(services[0].repository).name
    cast = cast_for(policy, procedure=PROCEDURE, repository=repository)
    soak = max(one.soak_seconds for one in services)
    wait_seconds = soak + min(policy.image_rollback.rollout_timeout_seconds, ROLLOUT_SECONDS)
    require_no_freeze(policy, now, procedure=PROCEDURE, repository=repository, wait_seconds=wait_seconds)
    _require_rehearsable(policy, services)
    bad = Version("bad", _BAD_SHA, BAD_AGO_MINUTES, BAD)
    good_ago = BAD_AGO_MINUTES + policy.image_rollback.good_after_minutes + GOOD_FOR_MINUTES
    good = Version("good", _GOOD_SHA, good_ago, WELL)
    scenario = base_scenario(policy, cast, repository=repository)
    _add_source(scenario, policy, services, repository, versions=(bad, good))
    scenario["kubernetes"] = _cluster(services, versions=(good, bad))
    names = ", ".join(one.name for one in services)
    return Rehearsal(
        procedure=PROCEDURE,
        repository=repository,
        cast=cast,
        scenario=scenario,
        request=RollbackImageRequest(repository=repository, mode=Mode.APPLY, services=(services[0].name,)),
        broken=f"the newest images of {names} are bad: their pods are ready, their health answers {BAD}",
        wait=f"the policy's soak takes {soak:g} s after the rollout",
        wait_seconds=wait_seconds,
        untouched=lambda stage: {
            "nothing was changed in the cluster": not stage.cluster.writes(),
            **_images(stage, services, bad),
        },
        restored=lambda stage: {
            **_images(stage, services, good),
            **_health(stage, services),
            **_bars(stage, services, bad),
        },
    )


def _set_of(policy: Policy, service: str | None) -> tuple[Service, ...]:
    """Return the set, the service that was asked for first.

    Raises:
        UsageError: There is no such service.
    """
    if not policy.services:
        raise UsageError(
            f"The policy names no services: there is nothing that {PROCEDURE} could roll back.",
            unchanged="Nothing was started.",
            next_step="add a [[services]] table (docs/policy.md lists its keys)",
        )
    asked = service or policy.services[0].name
    known = next((one for one in policy.services if one.name == asked), policy.services[0])
    ours = [one for one in policy.services if one.repository.casefold() == known.repository.casefold()]
    members = expand((asked,), ours)
    if isinstance(members, SetRefused):
        raise UsageError(
            report.sentence(members.reason),
            unchanged="Nothing was started.",
            next_step=members.next_step,
        )
    return tuple(sorted((one.service for one in members), key=lambda one: one.name != asked))


def _require_rehearsable(policy: Policy, services: Sequence[Service]) -> None:
    """Check that the product could find a good revision at all, and that the sandbox can be well for the policy.

    Raises:
        UsageError: It could not, or cannot.
    """
    for one in services:
        reference = parse_image(one.image)
        if GoodSign.IN_REGISTRY in policy.image_rollback.good_signs and (
            reference is None or reference.registry != REGISTRY
        ):
            raise UsageError(
                f"image_rollback.good_signs asks for in_registry, and the image of {one.name} is not in {REGISTRY}: "
                "nobody can tell whether its registry still has it, so no revision would count as good.",
                unchanged="Nothing was started.",
                next_step="take in_registry out of good_signs, or ask for another sign there",
            )
        growing = [two.name for two in one.metrics if two.per_second and (two.at_least or 0) > 0]
        if growing:
            raise UsageError(
                f"{one.name} counts as well only while {growing[0]} grows, and nothing grows in the sandbox.",
                unchanged="Nothing was started.",
                next_step="rehearse under a copy of the policy without that at_least",
            )


def _add_source(
    scenario: Scenario,
    policy: Policy,
    services: Sequence[Service],
    repository: str,
    *,
    versions: Sequence[Version],
) -> None:
    """Add what GitHub knows of the versions: commits, green runs, deployments, images in its registry.

    Args:
        scenario: What it is added to.
        policy: The policy.
        services: The set.
        repository: Its repository.
        versions: The versions, newest first.
    """
    content = repository_in(scenario, repository)
    author = content["commits"][0]["author"]
    content["commits"] = [
        *(
            {
                "id": version.name,
                "sha": version.sha,
                "message": f"The {version.name} version",
                "author": author,
                "ago": _ago(version.ago_minutes + 30),
                "files": [services[0].dockerfile],
            }
            for version in versions
        ),
        *content["commits"],
    ]
    required = [one.file for one in policy.repository(repository).workflows if one.required]
    if not required:  # a file that the policy does not list counts as required
        content["workflows"].append({"file": _OWN_WORKFLOW, "name": _OWN_WORKFLOW})
    content["runs"] = [
        {
            "workflow": file,
            "commit": version.name,
            "ago": _ago(version.ago_minutes + 20),
            "jobs": [{"name": "test", "seconds": 60}],
        }
        for version in reversed(versions)
        for file in required or [_OWN_WORKFLOW]
    ]
    environments = dict.fromkeys(name for one in services for name in one.environments) or {
        "production": None
    }
    content["deployments"] = [
        {
            "environment": name,
            "commit": version.name,
            "ago": _ago(version.ago_minutes),
            "statuses": ["success" if version.health == WELL else "failure"],
        }
        for version in reversed(versions)
        for name in environments
    ]
    content["images"] = [
        {
            "image": version.image(one).removeprefix(f"{REGISTRY}/"),
            "digest": version.image_digest(one),
            "ago": _ago(version.ago_minutes + 10),
        }
        for one in services
        if one.image.startswith(f"{REGISTRY}/")
        for version in versions
    ]


def _cluster(services: Sequence[Service], *, versions: Sequence[Version]) -> dict[str, Any]:
    """Make the cluster.

    Args:
        services: The set.
        versions: The versions, oldest first.
    """
    namespaces: dict[str, Any] = {}
    releases: dict[tuple[str, str], list[Service]] = {}
    for one in services:
        workload: dict[str, Any] = {
            "kind": one.workload.value,
            "port": one.port,
            "revisions": [
                {
                    "image": version.image(one),
                    "ago": _ago(version.ago_minutes),
                    "change_cause": f"The {version.name} version",
                }
                for version in versions
            ],
        }
        if one.workload != "DaemonSet":
            workload["replicas"] = REPLICAS
        if one.helm_release:
            workload["helm"] = one.helm_release
            releases.setdefault((one.namespace, one.helm_release), []).append(one)
        place = namespaces.setdefault(one.namespace, {"workloads": {}})
        place["workloads"][one.name] = workload
    images = {version.image(one): _behaviour(one, version) for one in services for version in versions}
    return {
        "images": images,
        "namespaces": namespaces,
        "helm_releases": [
            {
                "name": release,
                "namespace": namespace,
                "revisions": [_release_revision(held, version) for version in versions],
            }
            for (namespace, release), held in releases.items()
        ],
    }


def _behaviour(service: Service, version: Version) -> dict[str, Any]:
    metrics = "".join(
        f"{one.name}{_labels(one.labels)} {one.at_most if one.at_least is None else one.at_least}\n"
        for one in service.metrics
    )
    return {
        "health": version.health,
        "health_path": service.health_path,
        "metrics": metrics,
        "metrics_path": service.metrics_path,
        "digest": version.image_digest(service),
    }


def _labels(labels: dict[str, str]) -> str:
    pairs = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _release_revision(held: Sequence[Service], version: Version) -> dict[str, Any]:
    workloads = [{"name": one.name, "kind": one.workload.value, "images": version.image(one)} for one in held]
    return {"ago": _ago(version.ago_minutes), "workloads": workloads}


def _ago(minutes: float) -> float:
    return round(minutes * 60)


def _images(stage: Stage, services: Sequence[Service], version: Version) -> dict[str, bool]:
    return {
        f"{one.name} has its {version.name} image": stage.cluster.images(one.namespace, one.name)
        == (version.image(one),)
        for one in services
    }


def _health(stage: Stage, services: Sequence[Service]) -> dict[str, bool]:
    return {
        f"{one.name} answers {WELL} at {one.health_path}": stage.cluster.health(
            one.namespace, one.name, port=one.port, path=one.health_path
        )
        == WELL
        for one in services
    }


def _bars(stage: Stage, services: Sequence[Service], version: Version) -> dict[str, bool]:
    barred = {one.subject for one in stage.here.engine.exceptions.open(kind=ExceptionKind.BAR)}
    return {
        f"the {version.name} image of {one.name} is barred": any(
            subject.endswith(version.image_digest(one)) for subject in barred
        )
        for one in services
    }
