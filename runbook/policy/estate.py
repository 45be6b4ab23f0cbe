"""What the installation looks after: services, secrets, cache keys, objectives, known issues, freezes."""

from enum import StrEnum

from pydantic import AwareDatetime, Field

from runbook.policy.base import (
    Count,
    Minutes,
    Name,
    Percent,
    Port,
    Positive,
    Seconds,
    Section,
)
from runbook.repository_name import RepositoryName
from runbook.triage.classes import FailureClass
from runbook.workloads import WorkloadKind


class MetricThreshold(Section):
    """One figure of a service's metrics, and what it may be."""

    name: Name = Field(description="Name of a Prometheus metric, as metrics_path gives it.")
    labels: dict[Name, str] = Field(default={}, description="Labels that its samples must carry.")
    at_most: float | None = Field(
        default=None, allow_inf_nan=False, description="The sum of the samples is no more than this."
    )
    at_least: float | None = Field(
        default=None, allow_inf_nan=False, description="The sum of the samples is no less than this."
    )
    per_second: bool = Field(
        default=False,
        description="Judge how fast a counter grows while it is watched, not its value. Each look reaches one pod: "
        "with several pods, have metrics_path answer for all of them.",
    )


class Service(Section):
    """One deployed service."""

    name: Name = Field(description="Name of the Kubernetes Deployment and of its Service.")
    repository: RepositoryName = Field(description="Where its source lives.")
    namespace: Name = Field(description="Kubernetes namespace.")
    image: Name = Field(description="Image without tag: ghcr.io/acme/vibevoice-tts.")
    dockerfile: Name = Field(description="Path of the Dockerfile in the repository.")
    moves_with: tuple[Name, ...] = Field(
        default=(), description="Services rolled back together with it (RB-05)."
    )
    helm_release: Name | None = Field(default=None, description="Helm release it belongs to.")
    helm_tag_value: Name | None = Field(default=None, description="Chart value that holds the image's tag.")
    port: Port = Field(default=8000, description="Port of health_path and metrics_path.")
    health_path: Name = Field(default="/health", description="Asked through the API server (RB-11).")
    metrics_path: Name = Field(
        default="/metrics",
        description="Where its figures are, for metrics: watched after a rollback and after a bypass (RB-11, EB-15).",
    )
    log_tail_lines: Positive = Field(
        default=100, description="Lines of each pod's log that are scanned (RB-10)."
    )
    soak_seconds: Seconds = Field(default=300, description="How long it must stay healthy.")
    workload: WorkloadKind = Field(
        default=WorkloadKind.DEPLOYMENT,
        description="Kind of its workload: Deployment, StatefulSet, DaemonSet.",
    )
    environments: tuple[Name, ...] = Field(
        default=(),
        description="GitHub deployment environments that deploy it: a failed one proposes a rollback.",
    )
    migration_paths: tuple[Name, ...] = Field(
        default=("*migrations/*",),
        description="Globs of files that change a database: a rollback names those that it does not undo.",
    )
    metrics: tuple[MetricThreshold, ...] = Field(
        default=(), description="What its metrics_path must say while it is watched after a rollback."
    )


class GoodSign(StrEnum):
    """What speaks for a revision that was in service before."""

    GREEN_RUN = "green_run"
    """Every required workflow of its commit is green on the default branch."""
    DEPLOYED = "deployed"
    """GitHub has a successful deployment of its commit to one of the service's environments."""
    IN_REGISTRY = "in_registry"
    """The registry still has its image."""


class GitOps(StrEnum):
    """What is done about Argo CD or Flux, which would bring the bad version back."""

    REFUSE = "refuse"
    PAUSE = "pause"


class ImageRollback(Section):
    """What a good revision is, and how a rollback is watched."""

    good_after_minutes: Minutes = Field(
        default=60, description="A revision is good only if it was in service for at least so long."
    )
    good_signs: tuple[GoodSign, ...] = Field(
        default=(GoodSign.IN_REGISTRY,),
        description="What must speak for a revision: green_run, deployed, in_registry. What is known of the others "
        "is shown.",
    )
    gitops: GitOps = Field(
        default=GitOps.REFUSE,
        description="Where Argo CD or Flux owns a service: refuse the plan, or pause the sync until the deadline.",
    )
    gitops_pause_minutes: Minutes = Field(
        default=2_880, description="When a paused sync goes on, unless a person lets it go on before."
    )
    argocd_namespace: Name = Field(
        default="argocd", description="Where Argo CD's applications are, unless a workload says otherwise."
    )
    bar_days: Positive = Field(default=90, description="How long a digest that was rolled back stays barred.")
    revert_pull_request: bool = Field(
        default=True,
        description="Whether the plan offers a pull request that reverts the bad version's source.",
    )
    revert_within_minutes: Minutes = Field(
        default=1_440, description="How long the source's revert may stay unmerged before it is escalated."
    )
    rollout_timeout_seconds: Seconds = Field(
        default=900, description="How long a rollout may take, whatever its own progress deadline."
    )
    poll_seconds: Seconds = Field(default=2, description="How often rollout and health are looked at.")
    log_poll_seconds: Seconds = Field(
        default=30, description="How often pods' logs are scanned while a service is watched (RB-10)."
    )
    health_failures: Count = Field(
        default=2,
        description="So many looks in a row may find a service's pods, health or metrics not well while it is watched.",
    )


class RotatedBy(StrEnum):
    """Who changes a secret's value."""

    RUNBOOK = "runbook"
    GITHUB = "github"


class Secret(Section):
    """One secret, by name only: a value never stands in the policy."""

    name: Name = Field(description="Name of the Actions secret.")
    repository: RepositoryName = Field(description="Where it is set.")
    rotated_by: RotatedBy = Field(default=RotatedBy.RUNBOOK, description="Who rotates it.")
    every_months: Positive | None = Field(default=None, description="Rotation interval (SR-02 to SR-04).")
    also_on: tuple[Name, ...] = Field(default=(), description="Occasions that make a rotation due at once.")


class SecretRotation(Section):
    """Numbers that every rotation shares."""

    verify_workflow: Name = Field(
        default="ci-test.yml", description="Dispatched to prove the new value (SR-07)."
    )
    emergency_minutes: Minutes = Field(default=15, description="Clock of a suspected compromise (SR-12).")
    review_runs: Positive = Field(default=50, description="Recent runs reviewed for the unusual (SR-16).")


class CacheKey(Section):
    """The key that a family of caches should have (CM-12)."""

    family: Name = Field(description="Prefix of the family's keys: pip.")
    key: Name = Field(description="The key as written in a workflow.")
    restore_keys: bool = Field(
        default=True, description="Whether restore-keys should be there as fallback (CM-13)."
    )


class SuccessRate(Section):
    """Share of green runs on the default branch (MA-01)."""

    target_percent: Percent = Field(default=95, description="Objective.")
    alert_below_percent: Percent = Field(default=90, description="Alert.")
    window_hours: Positive = Field(default=24, description="Over this time.")
    sample_runs: Positive = Field(default=100, description="Runs shown in the report (MA-07).")


class Duration(Section):
    """How long workflows take (MA-02)."""

    test_target_minutes: Minutes = Field(default=30, description="Objective of test workflows.")
    build_target_minutes: Minutes = Field(default=60, description="Objective of build workflows.")
    alert_factor: float = Field(
        default=2.0, gt=1, allow_inf_nan=False, description="Alert above this many times the baseline."
    )
    sample_successes: Positive = Field(
        default=50, description="Green runs the average is taken from (MA-08)."
    )


class CacheHitRate(Section):
    """Share of cache look-ups that hit (MA-03)."""

    target_percent: Percent = Field(default=80, description="Objective.")
    alert_below_percent: Percent = Field(default=50, description="Alert.")
    window_days: Positive = Field(default=7, description="Over this time.")


class CriticalCves(Section):
    """Critical vulnerabilities found by scans (MA-04)."""

    target: Count = Field(default=0, description="Objective.")
    alert_from: Positive = Field(default=1, description="Alert at this many.")


class Slo(Section):
    """What the pipeline is measured against."""

    success_rate: SuccessRate = Field(default=SuccessRate(), description="Green runs on the default branch.")
    duration: Duration = Field(default=Duration(), description="How long workflows take.")
    cache_hit_rate: CacheHitRate = Field(default=CacheHitRate(), description="Cache look-ups that hit.")
    critical_cves: CriticalCves = Field(default=CriticalCves(), description="Critical vulnerabilities.")


class FlakyTests(Section):
    """How a test suspected of flakiness is examined and treated."""

    repetitions: Positive = Field(default=10, description="Times it is run (KI-04).")
    retry_attempts: Positive = Field(default=3, description="Attempts that a retry step makes (KI-05).")
    retry_timeout_minutes: Minutes = Field(default=30, description="Time-out of a retry step (KI-05).")


class KnownIssue(Section):
    """A failure met before; its pattern is scanned along with the built-in ones."""

    id: Name = Field(description="Short name, unique.")
    title: Name = Field(description="What people call it.")
    failure_class: FailureClass = Field(description="Class that a match stands for.")
    pattern: str = Field(min_length=1, max_length=2_000, description="Regular expression over one log line.")
    fix: str = Field(min_length=1, description="What to do, in one or two sentences.")
    examples: tuple[str, ...] = Field(
        min_length=1, description="Lines that must match; tried when the policy is read."
    )
    near_misses: tuple[str, ...] = Field(default=(), description="Lines that must not match.")


class FreezeWindow(Section):
    """A time in which procedures may plan but not act."""

    name: Name = Field(description="Why: Release week.")
    start: AwareDatetime = Field(description="First moment, with its offset from UTC.")
    end: AwareDatetime = Field(description="First moment after it.")
    procedures: tuple[Name, ...] = Field(default=(), description="Procedures held back; all when left out.")
    repositories: tuple[RepositoryName, ...] = Field(
        default=(), description="Repositories concerned; all when left out."
    )
