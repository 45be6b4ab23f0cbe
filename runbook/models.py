"""Facts read from outside, as typed, frozen data. Field names are GitHub's own where GitHub has one."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: immutable, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(Frozen):
    """One step of a job."""

    number: int
    name: str
    status: str
    conclusion: str | None


class Job(Frozen):
    """One job of a run's attempt."""

    id: int
    run_id: int
    run_attempt: int
    name: str
    status: str
    conclusion: str | None
    started_at: datetime | None
    completed_at: datetime | None
    html_url: str
    steps: tuple[Step, ...]


class WorkflowRun(Frozen):
    """One attempt of a workflow run.

    ``path`` is the workflow's file (``.github/workflows/ci-test.yml``), without the ref GitHub may append.
    ``from_fork`` says that its head lies in another repository, whose branch names say nothing about ours.
    """

    repository: str
    id: int
    run_attempt: int
    name: str
    display_title: str
    path: str
    workflow_id: int
    event: str
    status: str
    conclusion: str | None
    head_branch: str | None
    head_sha: str
    actor: str
    triggering_actor: str
    html_url: str
    created_at: datetime
    run_started_at: datetime
    updated_at: datetime
    pull_requests: tuple[int, ...]
    from_fork: bool = False

    @property
    def workflow_file(self) -> str:
        """The workflow's file name alone, as the runbook writes it: ``ci-test.yml``."""
        return self.path.rsplit("/", 1)[-1]


class ActionsCache(Frozen):
    """One entry of the repository's Actions cache."""

    id: int
    key: str
    ref: str
    version: str
    size_in_bytes: int
    created_at: datetime
    last_accessed_at: datetime


class IssueComment(Frozen):
    """One comment, with what decides whether it may count as an approval.

    ``via_app`` is true where GitHub says that an app posted it on somebody's behalf
    (``performed_via_github_app``).
    """

    id: int
    login: str
    user_type: str
    via_app: bool
    body: str
    html_url: str
    created_at: datetime
    updated_at: datetime

    @property
    def edited(self) -> bool:
        """Whether anybody changed it after it was posted."""
        return self.updated_at != self.created_at


class Issue(Frozen):
    """One issue (the incident's, or an approval's)."""

    number: int
    title: str
    body: str
    state: str
    labels: tuple[str, ...]
    html_url: str
    created_at: datetime


class PullRequest(Frozen):
    """One open pull request, as far as triage asks."""

    number: int
    title: str
    author: str
    head_sha: str
    head_ref: str
    base_ref: str
    html_url: str


class Hook(Frozen):
    """One webhook of a repository, without its secret."""

    id: int
    url: str
    events: tuple[str, ...]
    active: bool


class HookDelivery(Frozen):
    """One attempt to deliver an event; a redelivery has an id of its own and the ``guid`` of the first.

    ``status_code`` is what the receiver answered, or a 5xx of GitHub's own where there was no answer.
    """

    id: int
    guid: str
    event: str
    action: str | None
    delivered_at: datetime
    status_code: int

    @property
    def arrived(self) -> bool:
        """Whether the receiver took it."""
        return 200 <= self.status_code < 400


class LabelEvent(Frozen):
    """A label was put on an issue (``added``) or taken off it.

    ``via_app`` is true where GitHub says that an app did it on somebody's behalf.
    """

    label: str
    added: bool
    login: str
    via_app: bool
    at: datetime


class RateLimit(Frozen):
    """What is left of one of GitHub's hourly budgets."""

    resource: str
    limit: int
    remaining: int
    reset_at: datetime


class Permission(StrEnum):
    """A person's permission on a repository, weakest first."""

    NONE = "none"
    READ = "read"
    TRIAGE = "triage"
    WRITE = "write"
    MAINTAIN = "maintain"
    ADMIN = "admin"

    @property
    def rank(self) -> int:
        """Position from weakest (0) to strongest."""
        return list(Permission).index(self)


class RepositoryFacts(Frozen):
    """A repository, and what this credential may do in it."""

    full_name: str
    default_branch: str
    private: bool
    archived: bool
    permission: Permission
    html_url: str


class TokenFacts(Frozen):
    """What GitHub tells about the credential that asks.

    ``scopes`` is None for fine-grained and App tokens, whose permissions no header tells.
    """

    login: str
    user_type: str
    scopes: tuple[str, ...] | None
    expires_at: datetime | None


class Workflow(Frozen):
    """One workflow of a repository; ``state`` is ``active`` or how it was disabled."""

    id: int
    name: str
    path: str
    state: str


class Artifact(Frozen):
    """One artifact of a run."""

    id: int
    name: str
    size_in_bytes: int
    expired: bool
    created_at: datetime | None


class Commit(Frozen):
    """One commit, as far as a list of suspects needs it."""

    sha: str
    message: str
    author: str
    committed_at: datetime
    html_url: str


class RequiredChecks(Frozen):
    """The checks that a branch's rules require before a merge.

    ``unreadable`` names each source of rules that this credential may not read; the list may then be short.
    """

    contexts: tuple[str, ...]
    unreadable: tuple[str, ...]


class RegistryState(StrEnum):
    """What a container registry says when it is asked for one image."""

    READABLE = "readable"
    UNREACHABLE = "unreachable"
    LOGIN_REFUSED = "login_refused"
    ACCESS_DENIED = "access_denied"
    IMAGE_MISSING = "image_missing"
    RATE_LIMITED = "rate_limited"


class RegistryProbe(Frozen):
    """The outcome of one look at a registry, with its reason in words.

    ``digest`` (``sha256:…``) is what ``tag`` names there now; None where the image cannot be read.
    """

    registry: str
    image: str
    tag: str
    state: RegistryState
    reason: str
    retry_after_seconds: float | None
    digest: str | None = None
