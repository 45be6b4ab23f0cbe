"""What a webhook delivery asks for: start a triage or a rollback, wake plans, or nothing, with the reason (R10).

GitHub is asked again before anything happens, so a delivery needs to be neither new, nor true, nor in order: it
only says where to look. Only the fields that are read are described here; GitHub may add others as it likes.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from runbook.decisions.approval import parse_command
from runbook.decisions.failed_deployments import StartRollback, deployed_services
from runbook.decisions.severity import AffectedRef, ref_of
from runbook.errors import Permanent, UsageError
from runbook.models import Frozen
from runbook.policy import Policy, RepositoryPolicy
from runbook.repository_name import RepositoryName
from runbook.source_facts import FAILED_STATES

KINDS = frozenset(
    {
        "workflow_run",
        "issue_comment",
        "secret_scanning_alert",
        "code_scanning_alert",
        "dependabot_alert",
        "deployment_status",
        "ping",
    }
)
"""The events that are looked into; any other is ignored by its name."""

FAILED = frozenset({"failure", "timed_out", "startup_failure"})
"""Conclusions of a run that broke, wherever it ran."""

# Ids beyond this are not GitHub's, and no database takes them.
_LARGEST_ID = 2**63 - 1


class WhyIgnored(StrEnum):
    """Why nothing follows from a delivery."""

    PING = "a ping: the webhook reaches us"
    OTHER_EVENT = "the product does nothing with events of this kind"
    OTHER_ACTION = "the product does nothing with this action"
    UNKNOWN_REPOSITORY = "the policy does not name its repository"
    UNREADABLE = "a field is missing or of another type than GitHub documents"
    NOT_FAILED = "the run did not fail"
    NOT_BROKEN = "the deployment did not fail"
    NO_SERVICE = "the policy names no service that this environment deploys"
    NO_COMMAND = "the comment is no /approve or /reject of a plan"
    NOT_BUILT = "the procedure that handles it is not built yet"


class Ignore(Frozen):
    """Nothing follows.

    Args:
        why: The kind of reason.
        detail: What it was, in our own words or in words that were checked; may be empty.
    """

    why: WhyIgnored
    detail: str = ""

    @property
    def reason(self) -> str:
        """Say it as the answer to GitHub does."""
        return f"{self.why} ({self.detail})" if self.detail else str(self.why)


class StartTriage(Frozen):
    """A failed attempt of a workflow run is to be triaged.

    Args:
        repository: As the policy spells it.
        run_id: The run.
        run_attempt: Which of its attempts failed.
    """

    repository: str
    run_id: int
    run_attempt: int

    @property
    def key(self) -> str:
        """What makes two deliveries the same to do; Prefect's idempotency key too (DESIGN, R10)."""
        return f"{self.repository}:{self.run_id}:{self.run_attempt}"


class WakePlans(Frozen):
    """The plans that are shown on an issue are to be looked at: somebody decided.

    Args:
        issues_repository: As the policy spells it.
        issue_number: The issue.
        digits: The digits of a plan's digest that the comment names, lower case.
        login: Who wrote the comment.
    """

    issues_repository: str
    issue_number: int
    digits: str
    login: str

    @property
    def key(self) -> str:
        """What makes two deliveries the same to do."""
        return f"{self.issues_repository}#{self.issue_number}:{self.digits}:{self.login}"


Decision = StartTriage | StartRollback | WakePlans | Ignore


class Malformed(Permanent):
    """The payload is not what any GitHub sends: not JSON, or not an object."""


class Reading(Frozen):
    """What a delivery says.

    Args:
        action: The event's action; empty where it has none, or none that can be one.
        repository: What it is about, as the policy spells it, else as the payload does; empty where it says nothing.
        decision: What is to be done.
    """

    action: str
    repository: str
    decision: Decision


def read_delivery(event: str, payload: bytes, *, policy: Policy) -> Reading:
    """Say what is to be done about a delivery.

    Args:
        event: The kind of event, as X-GitHub-Event names it.
        payload: The body, JSON.
        policy: Which repositories are served.

    Raises:
        Malformed: The payload is not a JSON object.
    """
    envelope = _read(_Envelope, payload)
    if isinstance(envelope, Ignore):
        unread = envelope if event in KINDS else Ignore(why=WhyIgnored.OTHER_EVENT)
        return Reading(action="", repository="", decision=unread)
    name = envelope.repository.full_name if envelope.repository else ""
    served = _served(policy, name)
    return Reading(
        action=envelope.action,
        repository=served.name if served else name,
        decision=_decide(event, payload, envelope, policy),
    )


def is_failed(conclusion: str | None, *, ref: AffectedRef) -> bool:
    """Tell whether an attempt that ended so is a failure that somebody must look into (R10).

    A cancelled run counts on the default branch and on release refs only: a job that runs into its time-out ends
    as cancelled, and must not go unseen there. Elsewhere a newer push cancels runs all day long.

    Args:
        conclusion: How the attempt ended; None where it has not.
        ref: What it was made for; a fork's branches are called as it likes, ``main`` too.
    """
    if conclusion == "cancelled":
        return ref in (AffectedRef.DEFAULT_BRANCH, AffectedRef.RELEASE)
    return conclusion in FAILED


# ---- The fields that are read ------------------------------------------------------------------------------------

_Id = Annotated[int, Field(gt=0, le=_LARGEST_ID)]
_Word = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")]


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _Repository(_Read):
    full_name: RepositoryName


class _Envelope(_Read):
    action: _Word = ""
    repository: _Repository | None = None


class _HeadRepository(_Read):
    full_name: str  # compared, never shown: whatever a fork is called, its failures are not lost


class _Run(_Read):
    id: _Id
    run_attempt: _Id
    conclusion: _Word | None
    head_branch: str | None
    event: _Word = ""
    head_repository: _HeadRepository | None = None

    def is_from_fork(self, name: str) -> bool:
        """Whether its commit lies in another repository than the one named; of a deleted fork GitHub says null."""
        if "head_repository" not in self.model_fields_set:
            return False
        return self.head_repository is None or self.head_repository.full_name.casefold() != name.casefold()


class _WorkflowRunEvent(_Read):
    workflow_run: _Run


class _User(_Read):
    login: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}(\[bot\])?$")]


class _Comment(_Read):
    body: str | None
    user: _User


class _Issue(_Read):
    number: _Id


class _IssueCommentEvent(_Read):
    comment: _Comment
    issue: _Issue


class _DeploymentStatus(_Read):
    id: _Id
    state: _Word


class _Deployment(_Read):
    id: _Id
    environment: Annotated[str, StringConstraints(max_length=255)]


class _DeploymentStatusEvent(_Read):
    deployment_status: _DeploymentStatus
    deployment: _Deployment


_Fields = TypeVar("_Fields", bound=_Read)


def _read(kind: type[_Fields], payload: bytes) -> _Fields | Ignore:
    """Read the fields; say which ones cannot be read, never what stood there."""
    try:
        return kind.model_validate_json(payload)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
    if any(not problem["loc"] for problem in problems):
        raise Malformed(
            "The delivery's body is not a JSON object.",
            unchanged="Nothing was stored.",
            next_step="send what GitHub sent, byte for byte",
        )
    # Locations are names of our own fields: foreign keys are not looked at.
    return Ignore(
        why=WhyIgnored.UNREADABLE,
        detail=", ".join(".".join(str(part) for part in problem["loc"]) for problem in problems),
    )


# ---- One rule for each event -------------------------------------------------------------------------------------


def _decide(event: str, payload: bytes, envelope: _Envelope, policy: Policy) -> Decision:
    if event not in KINDS:
        return Ignore(why=WhyIgnored.OTHER_EVENT)
    if event == "ping":
        return Ignore(why=WhyIgnored.PING)
    if envelope.repository is None:
        return Ignore(why=WhyIgnored.UNREADABLE, detail="repository")
    return _DECIDERS[event](payload, envelope, envelope.repository.full_name, policy)


def _workflow_run(payload: bytes, envelope: _Envelope, name: str, policy: Policy) -> Decision:
    repository = _served(policy, name)
    if repository is None:
        return Ignore(why=WhyIgnored.UNKNOWN_REPOSITORY)
    if envelope.action != "completed":
        return Ignore(why=WhyIgnored.OTHER_ACTION, detail=envelope.action)
    fields = _read(_WorkflowRunEvent, payload)
    if isinstance(fields, Ignore):
        return fields
    run = fields.workflow_run
    ref = ref_of(run.event, run.head_branch, from_fork=run.is_from_fork(name), repository=repository)
    if not is_failed(run.conclusion, ref=ref):
        return Ignore(why=WhyIgnored.NOT_FAILED, detail=run.conclusion or "no conclusion")
    return StartTriage(repository=repository.name, run_id=run.id, run_attempt=run.run_attempt)


def _issue_comment(payload: bytes, envelope: _Envelope, name: str, policy: Policy) -> Decision:
    issues_repository = _with_issues(policy, name)
    if issues_repository is None:
        return Ignore(why=WhyIgnored.UNKNOWN_REPOSITORY)
    if envelope.action != "created":  # an edited comment never counts (R2)
        return Ignore(why=WhyIgnored.OTHER_ACTION, detail=envelope.action)
    fields = _read(_IssueCommentEvent, payload)
    if isinstance(fields, Ignore):
        return fields
    command = parse_command(fields.comment.body or "")
    if command is None:
        return Ignore(why=WhyIgnored.NO_COMMAND)
    return WakePlans(
        issues_repository=issues_repository,
        issue_number=fields.issue.number,
        digits=command.digits,
        login=fields.comment.user.login,
    )


def _alert(payload: bytes, envelope: _Envelope, name: str, policy: Policy) -> Decision:
    if _served(policy, name) is None:
        return Ignore(why=WhyIgnored.UNKNOWN_REPOSITORY)
    return Ignore(why=WhyIgnored.NOT_BUILT, detail=f"alert {envelope.action}" if envelope.action else "")


def _deployment_status(payload: bytes, envelope: _Envelope, name: str, policy: Policy) -> Decision:
    repository = _served(policy, name)
    if repository is None:
        return Ignore(why=WhyIgnored.UNKNOWN_REPOSITORY)
    if envelope.action != "created":
        return Ignore(why=WhyIgnored.OTHER_ACTION, detail=envelope.action)
    fields = _read(_DeploymentStatusEvent, payload)
    if isinstance(fields, Ignore):
        return fields
    if fields.deployment_status.state not in FAILED_STATES:
        return Ignore(why=WhyIgnored.NOT_BROKEN, detail=fields.deployment_status.state)
    deployment = fields.deployment
    services = deployed_services(
        policy.services, repository=repository.name, environment=deployment.environment
    )
    if not services:
        return Ignore(why=WhyIgnored.NO_SERVICE, detail=f"deployment {deployment.id}")
    return StartRollback(
        repository=repository.name,
        services=services,
        deployment_id=deployment.id,
        status_id=fields.deployment_status.id,
    )


_DECIDERS: Mapping[str, Callable[[bytes, _Envelope, str, Policy], Decision]] = {
    "workflow_run": _workflow_run,
    "issue_comment": _issue_comment,
    "secret_scanning_alert": _alert,
    "code_scanning_alert": _alert,
    "dependabot_alert": _alert,
    "deployment_status": _deployment_status,
}


def _served(policy: Policy, name: str) -> RepositoryPolicy | None:
    try:
        return policy.repository(name)
    except UsageError:
        return None


def _with_issues(policy: Policy, name: str) -> str | None:
    """Return the policy's spelling of a repository that it serves or keeps issues in."""
    for repository in policy.repositories:
        for known in (repository.name, repository.incidents_repository):
            if known.casefold() == name.casefold():
                return known
    return None
