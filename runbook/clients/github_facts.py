"""GitHub's JSON as the product's own facts: one pure function per kind, no network.

Fields are picked one by one, so that a field GitHub adds changes nothing and one that it drops is named.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from runbook.errors import Permanent
from runbook.models import (
    ActionsCache,
    Artifact,
    Commit,
    Hook,
    HookDelivery,
    Issue,
    IssueComment,
    Job,
    LabelEvent,
    Permission,
    PullRequest,
    RateLimit,
    RepositoryFacts,
    Step,
    Workflow,
    WorkflowRun,
)

Json = Mapping[str, Any]
Fact = TypeVar("Fact")

# GitHub shows what deleted accounts did under this name.
GHOST = "ghost"


def parse(kind: str, build: Callable[[Json], Fact], data: object) -> Fact:
    """Return ``build(data)``.

    Args:
        kind: What the data should be, for the error.
        build: One of this module's functions.
        data: A decoded JSON value.

    Raises:
        Permanent: The data is not what GitHub documents.
    """
    try:
        if not isinstance(data, Mapping):
            raise TypeError(f"an object was expected, not {type(data).__name__}")
        return build(data)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Permanent(
            f"GitHub's description of a {kind} cannot be read: {_reason(error)}.",
            next_step="check that GITHUB_API_URL is GitHub's API and no proxy's page; else report this.",
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _login(user: Json | None) -> str:
    return user["login"] if user else GHOST


def _pick(data: Json, names: Iterable[str]) -> dict[str, Any]:
    return {name: data[name] for name in names}


def workflow_run(repository: str, data: Json) -> WorkflowRun:
    """Build a run's attempt."""
    same = ("id", "run_attempt", "workflow_id", "event", "status", "conclusion", "head_branch", "head_sha")
    actor = _login(data.get("actor"))
    triggering = data.get("triggering_actor")
    return WorkflowRun(
        repository=repository,
        name=data.get("name") or "",
        display_title=data.get("display_title") or "",
        path=data["path"].split("@", 1)[0],
        actor=actor,
        triggering_actor=_login(triggering) if triggering else actor,
        html_url=data["html_url"],
        created_at=data["created_at"],
        run_started_at=data.get("run_started_at") or data["created_at"],
        updated_at=data["updated_at"],
        pull_requests=tuple(request["number"] for request in data.get("pull_requests") or ()),
        from_fork=_is_of_fork(repository, data),
        **_pick(data, same),
    )


def _is_of_fork(repository: str, data: Json) -> bool:
    if "head_repository" not in data:
        return False
    head = data["head_repository"]
    # A fork that was deleted is null.
    return head is None or head["full_name"].casefold() != repository.casefold()


def job(data: Json) -> Job:
    """Build a job with its steps."""
    steps = tuple(
        Step(**_pick(step, ("number", "name", "status", "conclusion"))) for step in data.get("steps") or ()
    )
    same = ("id", "run_id", "name", "status", "conclusion", "started_at", "completed_at")
    return Job(
        run_attempt=data.get("run_attempt", 1),
        html_url=data.get("html_url") or "",
        steps=steps,
        **_pick(data, same),
    )


def actions_cache(data: Json) -> ActionsCache:
    """Build a cache entry."""
    return ActionsCache(**_pick(data, ActionsCache.model_fields))


def artifact(data: Json) -> Artifact:
    """Build an artifact."""
    return Artifact(**_pick(data, Artifact.model_fields))


def workflow(data: Json) -> Workflow:
    """Build a workflow."""
    return Workflow(**_pick(data, Workflow.model_fields))


def issue(data: Json) -> Issue:
    """Build an issue; a missing body is an empty one."""
    labels = tuple(label if isinstance(label, str) else label["name"] for label in data["labels"])
    same = ("number", "title", "state", "html_url", "created_at")
    return Issue(body=data.get("body") or "", labels=labels, **_pick(data, same))


def issue_comment(data: Json) -> IssueComment:
    """Build a comment."""
    user = data.get("user")
    return IssueComment(
        login=_login(user),
        user_type=user["type"] if user else "",
        via_app=data.get("performed_via_github_app") is not None,
        body=data.get("body") or "",
        **_pick(data, ("id", "html_url", "created_at", "updated_at")),
    )


def label_event(data: Json) -> LabelEvent:
    """Build what happened to a label of an issue; the event must be ``labeled`` or ``unlabeled``."""
    return LabelEvent(
        label=data["label"]["name"],
        added=data["event"] == "labeled",
        login=_login(data.get("actor")),
        via_app=data.get("performed_via_github_app") is not None,
        at=data["created_at"],
    )


def hook(data: Json) -> Hook:
    """Build a webhook."""
    return Hook(
        url=data["config"].get("url") or "",
        events=tuple(data["events"]),
        **_pick(data, ("id", "active")),
    )


def hook_delivery(data: Json) -> HookDelivery:
    """Build a delivery."""
    return HookDelivery(**_pick(data, HookDelivery.model_fields))


def pull_request(data: Json) -> PullRequest:
    """Build a pull request."""
    return PullRequest(
        author=_login(data.get("user")),
        head_sha=data["head"]["sha"],
        head_ref=data["head"]["ref"],
        base_ref=data["base"]["ref"],
        **_pick(data, ("number", "title", "html_url")),
    )


def commit(data: Json) -> Commit:
    """Build a commit; its author is the account, or the name in the commit where there is none."""
    written = data["commit"]
    account = data.get("author")
    return Commit(
        sha=data["sha"],
        message=written["message"],
        author=account["login"] if account else written["author"]["name"],
        committed_at=written["committer"]["date"],
        html_url=data["html_url"],
    )


def permission(data: Json) -> Permission:
    """Read a person's permission: by ``role_name``, which alone tells maintain and triage.

    A custom role is taken for the standard one that it builds on (``permission``).
    """
    role = data.get("role_name")
    return Permission(role) if role in set(Permission) else Permission(data["permission"])


def repository_facts(data: Json) -> RepositoryFacts:
    """Build a repository's facts; the permission is the strongest that GitHub lists for the credential."""
    granted = data.get("permissions") or {}
    names = {"pull": Permission.READ, "push": Permission.WRITE}
    ranks = [names.get(name) or Permission(name) for name, held in granted.items() if held]
    return RepositoryFacts(
        permission=max(ranks, key=lambda held: held.rank, default=Permission.NONE),
        archived=data.get("archived", False),
        **_pick(data, ("full_name", "default_branch", "private", "html_url")),
    )


def rate_limits(data: Json) -> tuple[RateLimit, ...]:
    """Build the hourly budgets."""
    return tuple(
        RateLimit(
            resource=name,
            limit=entry["limit"],
            remaining=entry["remaining"],
            reset_at=datetime.fromtimestamp(entry["reset"], UTC),
        )
        for name, entry in data["resources"].items()
    )
