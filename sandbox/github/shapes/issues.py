"""Issues, comments, labels, events."""

from sandbox.github.records import Comment, Event, Issue, Label, Repository, node_id
from sandbox.github.routing import Call
from sandbox.github.shapes.common import app, association, repo_url, user, when
from sandbox.wire import Json


def label(call: Call, repo: Repository, one: Label) -> Json:
    """Return a label."""
    return {
        "id": one.id,
        "node_id": node_id("Label", one.id),
        "url": f"{repo_url(call, repo)}/labels/{one.name}",
        "name": one.name,
        "color": one.color,
        "default": False,
        "description": one.description,
    }


def issue(call: Call, repo: Repository, one: Issue) -> Json:
    """Return an issue."""
    url = f"{repo_url(call, repo)}/issues/{one.number}"
    assignees = [user(call, login) for login in one.assignees]
    return {
        "id": one.id,
        "node_id": node_id("Issue", one.id),
        "url": url,
        "repository_url": repo_url(call, repo),
        "labels_url": url + "/labels{/name}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "timeline_url": f"{url}/timeline",
        "html_url": f"{call.site}/{repo.full_name}/issues/{one.number}",
        "number": one.number,
        "state": one.state,
        "state_reason": one.state_reason,
        "title": one.title,
        "body": one.body,
        "user": user(call, one.author),
        "labels": [label(call, repo, repo.labels[name.lower()]) for name in one.labels],
        "assignee": assignees[0] if assignees else None,
        "assignees": assignees,
        "milestone": None,
        "locked": False,
        "active_lock_reason": None,
        "comments": sum(two.issue == one.number for two in repo.comments.values()),
        "created_at": when(one.created_at),
        "updated_at": when(one.updated_at),
        "closed_at": when(one.closed_at),
        "closed_by": user(call, one.closed_by) if one.closed_by else None,
        "author_association": association(call, repo, one.author),
        "performed_via_github_app": app(call, one.app),
    }


def comment(call: Call, repo: Repository, one: Comment) -> Json:
    """Return a comment on an issue."""
    return {
        "id": one.id,
        "node_id": node_id("IssueComment", one.id),
        "url": f"{repo_url(call, repo)}/issues/comments/{one.id}",
        "html_url": f"{call.site}/{repo.full_name}/issues/{one.issue}#issuecomment-{one.id}",
        "issue_url": f"{repo_url(call, repo)}/issues/{one.issue}",
        "body": one.body,
        "user": user(call, one.author),
        "created_at": when(one.created_at),
        "updated_at": when(one.updated_at),
        "author_association": association(call, repo, one.author),
        "performed_via_github_app": app(call, one.app),
    }


def event(call: Call, repo: Repository, one: Event) -> Json:
    """Return an event of an issue."""
    body: Json = {
        "id": one.id,
        "node_id": node_id("Event", one.id),
        "url": f"{repo_url(call, repo)}/issues/events/{one.id}",
        "actor": user(call, one.actor),
        "event": one.kind,
        "commit_id": None,
        "commit_url": None,
        "created_at": when(one.at),
        "performed_via_github_app": app(call, one.app),
    }
    if one.label is not None:
        known = repo.labels.get(one.label.lower())
        body["label"] = {"name": one.label, "color": known.color if known else "ededed"}
    if one.rename is not None:
        body["rename"] = {"from": one.rename[0], "to": one.rename[1]}
    return body
