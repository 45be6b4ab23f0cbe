"""How far the product may go by itself: timings, caps, remedies and the switch that stops it."""

from enum import StrEnum

from pydantic import Field

from runbook.policy.base import HttpUrl, Minutes, Name, Positive, Seconds, Section
from runbook.repository_name import RepositoryName


class Remedy(StrEnum):
    """A remedy that triage knows how to plan."""

    CLEAR_IMPLICATED_CACHES = "clear_implicated_caches"
    RERUN_FAILED_JOBS = "rerun_failed_jobs"
    WAIT_FOR_RATE_LIMIT_RESET = "wait_for_rate_limit_reset"


class RemedyPolicy(Section):
    """What may be done about one class of failure."""

    propose: tuple[Remedy, ...] = Field(default=(), description="Remedies a plan may contain, in this order.")
    automatic: bool = Field(
        default=False,
        description="Whether they are applied without a person, within caps and while the kill switch is off; not "
        "where a pull request's log would have caches of other branches deleted.",
    )


class KillSwitch(Section):
    """A label on an issue: while it is there, nothing is done without a person, not even the rest of a plan."""

    repository: RepositoryName = Field(description="Where the issue is.")
    issue: Positive = Field(description="The issue's number.")
    label: Name = Field(default="runbook-stop", description="The label; anyone may set it.")


class Triage(Section):
    """What an assessment looks at, and by when."""

    assessment_minutes: Minutes = Field(default=5, description="Time from failure to assessment (IR-04).")
    recent_runs: Positive = Field(
        default=5, description="Earlier runs of the workflow shown in the incident (IR-01)."
    )
    similar_incidents_days: Positive = Field(
        default=30, description="How far back a like failure counts as known (IR-11)."
    )
    outage_window_minutes: Minutes = Field(
        default=30, description="Other workflows failing within this time count as failing together (IR-12)."
    )
    outage_workflows: int = Field(
        default=2,
        ge=2,
        description="Workflows failing together from which one outside cause is suspected (IR-12).",
    )
    documentation: tuple[Name, ...] = Field(
        default=("docs/*", "*.md", "*.rst", "*.adoc", "LICENSE*", ".github/ISSUE_TEMPLATE/*"),
        description="Globs of files that are documentation; * goes over folders (IR-08).",
    )
    max_suspects: Positive = Field(
        default=20, description="Commits since the last green run that are listed (IR-13)."
    )


class Reconcile(Section):
    """Looking for what no webhook announced (R10), and asking GitHub for deliveries that did not arrive."""

    look_back_minutes: Minutes = Field(
        default=120, description="Attempts that failed earlier than so long ago are left alone."
    )
    webhook_url: HttpUrl | None = Field(
        default=None,
        description="URL of the repositories' webhook that leads here; its failed deliveries are redelivered.",
    )
    delivery_attempts: int = Field(
        default=4, ge=2, le=20, description="So often GitHub tries one delivery, redeliveries included."
    )
    redeliver_after_seconds: Seconds = Field(
        default=60, description="A failed delivery is left alone for so long before it is asked for again."
    )
    starts_per_pass: Positive = Field(
        default=50, description="Triages that one pass starts in one repository; the next pass goes on."
    )
    incidents_per_pass: Positive = Field(
        default=20,
        description="Open incidents of one repository, newest first, of which a pass looks whether people mended them.",
    )


class Timings(Section):
    """How long things are waited for, and how often they are looked at."""

    lease_seconds: Seconds = Field(
        default=60, description="A target's lease ends this long after it was last renewed."
    )
    settle_seconds: Seconds = Field(default=120, description="How long a write of unknown outcome is probed.")
    probe_interval_seconds: Seconds = Field(default=2, description="Time between two probes.")
    watch_poll_seconds: Seconds = Field(default=10, description="How often a watched run is looked at.")
    watch_timeout_seconds: Seconds = Field(default=9_000, description="How long a re-run is watched.")
    revive_grace_seconds: Seconds = Field(
        default=30,
        description="A run that died is left alone for so long, twice as long after each revival.",
    )
    silent_seconds: Seconds = Field(
        default=1_200,
        description="A running run without a heartbeat for so long counts as dead; rate limits are waited for less.",
    )
    max_revivals: Positive = Field(
        default=8,
        description="So often a dead run is revived; then it is undone and a person called. By default the waits "
        "before the revivals add up to 7,650 s: an outage, or an hourly limit, of less than two hours undoes nothing.",
    )
    suspend_timeout_seconds: Seconds = Field(
        default=604_800,
        description="When Prefect itself gives up a suspended run; longer than any approval's expiry.",
    )


class Caps(Section):
    """Limits that hold whoever approved."""

    reruns_per_run: int = Field(default=3, ge=1, le=50, description="Re-runs of one run; GitHub allows 50.")
    reruns_per_target_per_day: Positive = Field(
        default=10, description="Re-runs of one workflow in 24 hours."
    )
    cache_deletions_per_plan: Positive = Field(default=1_000, description="Caches that one plan may delete.")
    automatic_remedies_per_target_per_day: Positive = Field(
        default=5, description="Remedies applied without a person to one target in 24 hours."
    )
    effects_per_plan: Positive = Field(default=1_200, description="Effects in one plan, of any kind.")
    max_log_bytes: Positive = Field(
        default=4_294_967_296, description="Bytes read of one run's failed jobs' logs."
    )
    job_timeout_minutes: Minutes = Field(default=120, description="Longest time-out a fix may set (KI-02).")
