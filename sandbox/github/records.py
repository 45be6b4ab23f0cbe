"""The records that the GitHub stand-in keeps: plain data, and what each says about itself at a given time."""

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sandbox.github.release_records import Deployment, Image
from sandbox.wire import Body, Bytes, Json

# Lowest to highest; a role holds every permission of those before it.
ROLES = ("none", "read", "triage", "write", "maintain", "admin")


def node_id(kind: str, number: int) -> str:
    """Return a GraphQL id as GitHub forms its older ones."""
    return base64.b64encode(f"0{len(kind)}:{kind}{number}".encode()).decode()


def sha_of(text: str) -> str:
    """Return a made-up but stable commit or blob id."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@dataclass
class Token:
    """A credential. ``permissions`` None is a classic token; ``app`` is an app that acts for the user."""

    value: str
    permissions: dict[str, str] | None = None
    app: str | None = None


@dataclass
class User:
    """An account."""

    id: int
    login: str
    name: str
    type: str
    tokens: list[Token]


@dataclass
class Commit:
    """A commit on a branch; ``files`` are the paths that it changed.

    ``how`` says of a path that it was added, removed, or which path it was renamed from; the others were modified.
    ``merged`` is a second parent. ``tree`` (mode and blob by path) is made up when it is first asked for.
    """

    sha: str
    message: str
    author: str
    at: datetime
    branch: str
    files: list[str]
    parent: str | None
    how: dict[str, str] = field(default_factory=dict)
    merged: str | None = None
    tree: dict[str, tuple[str, str]] | None = None
    named_tree: str | None = None

    @property
    def tree_id(self) -> str:
        """Id of its tree."""
        return self.named_tree or sha_of("tree" + self.sha)


@dataclass
class Workflow:
    """A workflow file."""

    id: int
    name: str
    path: str
    state: str
    created_at: datetime
    updated_at: datetime


@dataclass
class JobPlan:
    """What a job does when it runs.

    Attributes:
        name: Shown name, matrix values included.
        seconds: How long it takes.
        conclusion: How it ends, unless ``fails_while_cache`` is set.
        steps: Names in order, each with the conclusion it has when the job fails.
        log: Its log, by conclusion ("failure", "success"), or under "" for any.
        fails_while_cache: Complete key and ref of a cache; the job fails if that exists when it starts.
        saves_cache: Caches that it leaves behind when it succeeds and they are not there.
        rerun: What it does from its second attempt on; None: the same again.
    """

    name: str
    seconds: float
    conclusion: str
    steps: list[tuple[str, str]]
    log: dict[str, "LogText | Body"]
    fails_while_cache: tuple[str, str] | None = None
    saves_cache: list[tuple[str, str, int]] = field(default_factory=list)
    rerun: "JobPlan | None" = None


@dataclass(frozen=True)
class LogText:
    """Log lines; with ``stamped`` each gets a time stamp when the log is made."""

    text: str
    stamped: bool

    def at(self, start: datetime, seconds: float) -> Body:
        """Return the bytes of a log that began at ``start`` and took ``seconds``."""
        if not self.stamped:
            return Bytes(self.text.encode())
        lines = self.text.splitlines()
        step = timedelta(seconds=seconds / max(1, len(lines)))
        stamped = [
            f"{(start + step * index).strftime('%Y-%m-%dT%H:%M:%S.%f')}0Z {line}\n"
            for index, line in enumerate(lines)
        ]
        return Bytes(b"\xef\xbb\xbf" + "".join(stamped).encode())


@dataclass
class Job:
    """A job of one attempt; ``carried`` is one that a partial re-run did not run again."""

    id: int
    plan: JobPlan
    attempt: int
    queued_at: datetime
    starts_at: datetime
    ends_at: datetime
    conclusion: str | None = None
    carried: bool = False

    def status(self, now: datetime) -> str:
        """Return queued, in_progress or completed."""
        if now < self.starts_at:
            return "queued"
        return "in_progress" if now < self.ends_at else "completed"

    def log(self) -> Body:
        """Return the log of the finished job."""
        text = self.plan.log.get(self.conclusion or "") or self.plan.log.get("") or LogText("", stamped=False)
        if isinstance(text, LogText):
            return text.at(self.starts_at, (self.ends_at - self.starts_at).total_seconds())
        return text


@dataclass
class Attempt:
    """One attempt of a run."""

    number: int
    started_at: datetime
    actor: str
    jobs: list[Job]

    def status(self, now: datetime) -> str:
        """Return queued, in_progress or completed."""
        states = {job.status(now) for job in self.jobs if not job.carried} or {"completed"}
        if states == {"completed"}:
            return "completed"
        return "queued" if states == {"queued"} else "in_progress"

    def ended_at(self) -> datetime:
        """Return when the last job ends."""
        return max((job.ends_at for job in self.jobs), default=self.started_at)

    def conclusion(self, now: datetime) -> str | None:
        """Return the conclusion, None while the attempt is not completed."""
        if self.status(now) != "completed":
            return None
        ended = {job.conclusion for job in self.jobs}
        for one in ("failure", "timed_out", "cancelled", "action_required"):
            if one in ended:
                return one
        return "skipped" if ended == {"skipped"} else "success"


@dataclass
class Run:
    """A workflow run with all its attempts."""

    id: int
    number: int
    workflow_id: int
    branch: str
    event: str
    sha: str
    actor: str
    title: str
    created_at: datetime
    attempts: list[Attempt]
    conclusion: str | None = None  # overrides what the jobs say: startup_failure, stale
    logs_gone: bool = False
    fork: str | None = None  # whose fork of the repository the commit lies in

    @property
    def latest(self) -> Attempt:
        """The attempt that runs or ran last."""
        return self.attempts[-1]


@dataclass
class Cache:
    """An Actions cache entry."""

    id: int
    key: str
    ref: str
    version: str
    size: int
    created_at: datetime
    used_at: datetime


@dataclass
class Artifact:
    """A stored artifact: file name to text."""

    id: int
    run_id: int
    name: str
    files: dict[str, str]
    created_at: datetime
    expired: bool


@dataclass
class Label:
    """A label of a repository."""

    id: int
    name: str
    color: str
    description: str | None


@dataclass
class Comment:
    """A comment on an issue. ``app`` is the app that wrote it on its author's behalf."""

    id: int
    issue: int
    author: str
    body: str
    created_at: datetime
    updated_at: datetime
    app: str | None


@dataclass
class Event:
    """Something that happened to an issue, as its timeline tells it."""

    id: int
    issue: int
    kind: str
    actor: str
    at: datetime
    label: str | None = None
    rename: tuple[str, str] | None = None
    app: str | None = None


@dataclass
class Issue:
    """An issue."""

    id: int
    number: int
    title: str
    body: str | None
    author: str
    state: str
    state_reason: str | None
    labels: list[str]
    assignees: list[str]
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None = None
    closed_by: str | None = None
    app: str | None = None


@dataclass
class Pull:
    """A pull request; a merged one is closed."""

    id: int
    number: int
    title: str
    author: str
    head: str
    base: str
    sha: str
    state: str
    draft: bool
    created_at: datetime
    merged_at: datetime | None
    body: str | None = None
    closed_at: datetime | None = None


@dataclass
class Delivery:
    """One attempt to deliver an event to a webhook; a redelivery keeps the ``guid`` and gets an id of its own.

    ``status_code`` 0 is a delivery that is still under way.
    """

    id: int
    guid: str
    event: str
    action: str | None
    body: bytes
    headers: dict[str, str]
    at: datetime
    redelivery: bool
    status: str = ""
    status_code: int = 0
    seconds: float = 0.0
    answer: str = ""


@dataclass
class Hook:
    """A repository's webhook; ``deliveries`` has the oldest first."""

    id: int
    url: str
    secret: str | None
    events: list[str]
    active: bool
    created_at: datetime
    updated_at: datetime
    deliveries: list[Delivery] = field(default_factory=list)

    def wants(self, event: str) -> bool:
        """Whether it is to be told of an event; a ping comes to each."""
        return event == "ping" or (self.active and ("*" in self.events or event in self.events))


@dataclass
class Repository:
    """A repository and all that belongs to it."""

    id: int
    owner: str
    name: str
    private: bool
    archived: bool
    default_branch: str
    created_at: datetime
    roles: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)
    required_checks: dict[str, list[str]] = field(default_factory=dict)
    rules: dict[str, list[Json]] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)
    workflows: dict[int, Workflow] = field(default_factory=dict)
    runs: dict[int, Run] = field(default_factory=dict)
    caches: dict[int, Cache] = field(default_factory=dict)
    artifacts: dict[int, Artifact] = field(default_factory=dict)
    labels: dict[str, Label] = field(default_factory=dict)
    issues: dict[int, Issue] = field(default_factory=dict)
    comments: dict[int, Comment] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    pulls: dict[int, Pull] = field(default_factory=dict)
    images: list[Image] = field(default_factory=list)
    deployments: dict[int, Deployment] = field(default_factory=dict)
    refs: dict[str, str | None] = field(default_factory=dict)  # branches made (or, None, deleted) by requests
    objects: dict[str, Commit] = field(default_factory=dict)  # commits made by requests
    trees: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)  # and trees
    hooks: dict[int, Hook] = field(default_factory=dict)
    logs: Json = field(default_factory=dict)  # those that the scenario names

    @property
    def full_name(self) -> str:
        """owner/name."""
        return f"{self.owner}/{self.name}"

    def next_number(self) -> int:
        """Return the next number; issues and pull requests share them."""
        return max([0, *self.issues, *self.pulls]) + 1

    def head(self, branch: str) -> Commit | None:
        """Return the newest commit of a branch."""
        if branch in self.refs:
            return self.commit(self.refs[branch] or "")
        return next((commit for commit in self.commits if commit.branch == branch), None)

    def commit(self, sha: str) -> Commit | None:
        """Return a commit by its full id, on a branch or not."""
        return self.objects.get(sha) or next((one for one in self.commits if one.sha == sha), None)
