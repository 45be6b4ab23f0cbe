"""Issues, comments, labels, assignees, and what their timeline tells."""

from typing import Any

from sandbox.github import shapes
from sandbox.github.records import Comment, Event, Issue, Label, Repository
from sandbox.github.routing import REPOSITORY, Call, invalid, routes
from sandbox.wire import Json, Refused, Reply

ISSUES = REPOSITORY + "/issues"
ISSUE = ISSUES + "/{number}"
LABELS = REPOSITORY + "/labels"
MOST_BODY_CHARACTERS = 65536
SORTS = {"created": "created_at", "updated": "updated_at"}


def find_issue(call: Call) -> Issue:
    """Return the issue that the path names."""
    found = call.repo.issues.get(call.number("number"))
    if found is None:
        raise Refused(404, "Not Found")
    return found


def _find_comment(call: Call) -> Comment:
    found = call.repo.comments.get(call.number("comment_id"))
    if found is None:
        raise Refused(404, "Not Found")
    return found


def _may_edit(call: Call, author: str) -> None:
    if call.login != author and not call.has_role("write"):
        raise Refused(403, "Must have admin rights to Repository.")


def _tell(call: Call, issue: Issue, kind: str, **more: Any) -> None:
    number = call.state.new_id("event", 7_000_001)
    app = call.token.app if call.token else None
    call.repo.events.append(Event(number, issue.number, kind, call.login, call.now, app=app, **more))


def _check_body(resource: str, body: Any) -> None:
    if body is not None and not isinstance(body, str):
        raise invalid(resource, "body", "invalid")
    if body is not None and len(body) > MOST_BODY_CHARACTERS:
        raise invalid(
            resource, "body", "custom", f"body is too long (maximum is {MOST_BODY_CHARACTERS} characters)"
        )


def _label_names(data: Any) -> list[str]:
    if not isinstance(data, list):
        raise invalid("Label", "name", "invalid")
    names = [one.get("name") if isinstance(one, dict) else one for one in data]
    if not all(isinstance(name, str) and name for name in names):
        raise invalid("Label", "name", "invalid")
    return list(dict.fromkeys(str(name) for name in names))


def _known_labels(call: Call, names: list[str]) -> list[str]:
    """Return the labels as the repository spells them; one that is missing is made, as GitHub does."""
    repo = call.repo
    for name in names:
        if name.lower() not in repo.labels:
            repo.labels[name.lower()] = Label(call.state.new_id("label", 8001), name, "ededed", None)
    return [repo.labels[name.lower()].name for name in names]


@routes.add("GET", ISSUES, permission="issues:read")
def list_issues(call: Call) -> Reply:
    """List issues, newest first; ``state`` is open by default, and all of ``labels`` must be there."""
    repo, query = call.repo, call.request.query
    state = query.get("state", "open")
    if state not in ("open", "closed", "all"):
        raise invalid("Issue", "state", "invalid")
    labels = {name.strip().lower() for name in query.get("labels", "").split(",") if name.strip()}
    rows = [
        one
        for one in repo.issues.values()
        if state in ("all", one.state)
        and labels <= {name.lower() for name in one.labels}
        and query.get("creator", one.author).lower() == one.author.lower()
        and ("assignee" not in query or query["assignee"] in one.assignees)
        and (shapes.when(one.updated_at) or "") >= query.get("since", "")
    ]
    sort = SORTS.get(query.get("sort", "created"), "created_at")
    rows.sort(key=lambda one: (getattr(one, sort), one.number), reverse=query.get("direction") != "asc")
    return call.page(rows, lambda one: shapes.issue(call, repo, one))


@routes.add("POST", ISSUES, permission="issues:write", role="read", content=True)
def create_issue(call: Call) -> Reply:
    """Open an issue; labels and assignees of somebody without push access are dropped without a word."""
    repo, data = call.repo, call.data()
    if not isinstance(data.get("title"), str) or not data["title"].strip():
        raise invalid("Issue", "title")
    _check_body("Issue", data.get("body"))
    trusted = call.has_role("triage")
    names = _label_names(data.get("labels") or [])
    issue = Issue(
        id=call.state.new_id("issue", 1_000_001),
        number=repo.next_number(),
        title=data["title"],
        body=data.get("body"),
        author=call.login,
        state="open",
        state_reason=None,
        labels=_known_labels(call, names) if trusted else [],
        assignees=list(data.get("assignees") or []) if trusted else [],
        created_at=call.now,
        updated_at=call.now,
        app=call.token.app if call.token else None,
    )
    repo.issues[issue.number] = issue
    for name in issue.labels:
        _tell(call, issue, "labeled", label=name)
    body = shapes.issue(call, repo, issue)
    return call.created(body, location=body["url"])


@routes.add("GET", ISSUE, permission="issues:read")
def get_issue(call: Call) -> Reply:
    """Return an issue."""
    return Reply(200, shapes.issue(call, call.repo, find_issue(call)))


@routes.add("PATCH", ISSUE, permission="issues:write", role="read")
def update_issue(call: Call) -> Reply:
    """Change title, body, state, labels (replaced as a whole) or assignees."""
    repo, issue, data = call.repo, find_issue(call), call.data()
    _may_edit(call, issue.author)
    if "title" in data and (not isinstance(data["title"], str) or not data["title"].strip()):
        raise invalid("Issue", "title")
    if data.get("state", "open") not in ("open", "closed"):
        raise invalid("Issue", "state", "invalid")
    _check_body("Issue", data.get("body"))
    names = _label_names(data["labels"]) if "labels" in data else None
    if data.get("title", issue.title) != issue.title:
        _tell(call, issue, "renamed", rename=(issue.title, data["title"]))
        issue.title = data["title"]
    issue.body = data.get("body", issue.body)
    if names is not None and call.has_role("triage"):
        _set_labels(call, issue, _known_labels(call, names))
    if "assignees" in data and call.has_role("triage"):
        issue.assignees = list(data["assignees"] or [])
    _set_state(call, issue, data)
    issue.updated_at = call.now
    call.state.touch()
    return Reply(200, shapes.issue(call, repo, issue))


def _set_labels(call: Call, issue: Issue, names: list[str]) -> None:
    for name in issue.labels:
        if name not in names:
            _tell(call, issue, "unlabeled", label=name)
    for name in names:
        if name not in issue.labels:
            _tell(call, issue, "labeled", label=name)
    issue.labels = names


def _set_state(call: Call, issue: Issue, data: Json) -> None:
    state = data.get("state", issue.state)
    if state == issue.state:
        return
    issue.state = state
    if state == "closed":
        issue.state_reason = data.get("state_reason") or "completed"
        issue.closed_at, issue.closed_by = call.now, call.login
        _tell(call, issue, "closed")
    else:
        issue.state_reason, issue.closed_at, issue.closed_by = "reopened", None, None
        _tell(call, issue, "reopened")


@routes.add("GET", ISSUE + "/comments", permission="issues:read")
def list_comments(call: Call) -> Reply:
    """List an issue's comments, oldest first; ``since`` looks at when they were last changed."""
    repo, issue, since = call.repo, find_issue(call), call.request.query.get("since", "")
    rows = [
        one
        for one in repo.comments.values()
        if one.issue == issue.number and (shapes.when(one.updated_at) or "") >= since
    ]
    rows.sort(key=lambda one: one.id)
    return call.page(rows, lambda one: shapes.comment(call, repo, one))


@routes.add("POST", ISSUE + "/comments", permission="issues:write", role="read", content=True)
def create_comment(call: Call) -> Reply:
    """Comment on an issue."""
    repo, issue, data = call.repo, find_issue(call), call.data()
    if not isinstance(data.get("body"), str) or not data["body"].strip():
        raise invalid("IssueComment", "body")
    _check_body("IssueComment", data["body"])
    app = call.token.app if call.token else None
    number = call.state.new_id("comment", 2_000_000_001)
    comment = Comment(number, issue.number, call.login, data["body"], call.now, call.now, app)
    repo.comments[number] = comment
    issue.updated_at = call.now
    body = shapes.comment(call, repo, comment)
    told = shapes.comment_event(call, repo, shapes.issue(call, repo, issue), body)
    call.webhooks.tell(repo, "issue_comment", "created", told)
    return call.created(body, location=body["url"])


@routes.add("GET", ISSUES + "/comments/{comment_id}", permission="issues:read")
def get_comment(call: Call) -> Reply:
    """Return a comment."""
    return Reply(200, shapes.comment(call, call.repo, _find_comment(call)))


@routes.add("PATCH", ISSUES + "/comments/{comment_id}", permission="issues:write", role="read", content=True)
def update_comment(call: Call) -> Reply:
    """Edit a comment: its author may, and anybody with write access."""
    comment, data = _find_comment(call), call.data()
    _may_edit(call, comment.author)
    if not isinstance(data.get("body"), str) or not data["body"].strip():
        raise invalid("IssueComment", "body")
    _check_body("IssueComment", data["body"])
    comment.body, comment.updated_at = data["body"], call.now
    call.state.touch()
    return Reply(200, shapes.comment(call, call.repo, comment))


@routes.add("DELETE", ISSUES + "/comments/{comment_id}", permission="issues:write", role="read")
def delete_comment(call: Call) -> Reply:
    """Delete a comment: its author may, and anybody with write access."""
    comment = _find_comment(call)
    _may_edit(call, comment.author)
    del call.repo.comments[comment.id]
    return call.created(None, status=204)


@routes.add("GET", ISSUE + "/events", permission="issues:read")
def list_events(call: Call) -> Reply:
    """List what happened to an issue, oldest first: labels, state, title."""
    repo, issue = call.repo, find_issue(call)
    rows = [one for one in repo.events if one.issue == issue.number]
    return call.page(rows, lambda one: shapes.event(call, repo, one))


@routes.add("GET", ISSUE + "/timeline", permission="issues:read")
def list_timeline(call: Call) -> Reply:
    """List events and comments of an issue together, oldest first."""
    repo, issue = call.repo, find_issue(call)
    rows: list[Event | Comment] = [one for one in repo.events if one.issue == issue.number]
    rows += [one for one in repo.comments.values() if one.issue == issue.number]
    rows.sort(key=lambda one: one.at if isinstance(one, Event) else one.created_at)

    def render(one: Event | Comment) -> Json:
        if isinstance(one, Event):
            return shapes.event(call, repo, one)
        body = shapes.comment(call, repo, one)
        return {**body, "event": "commented", "actor": body["user"]}

    return call.page(rows, render)


def _labels(call: Call, repo: Repository, issue: Issue) -> list[Json]:
    return [shapes.label(call, repo, repo.labels[name.lower()]) for name in issue.labels]


@routes.add("GET", ISSUE + "/labels", permission="issues:read")
def list_issue_labels(call: Call) -> Reply:
    """List an issue's labels."""
    return Reply(200, _labels(call, call.repo, find_issue(call)))


@routes.add("POST", ISSUE + "/labels", permission="issues:write", role="triage")
def add_labels(call: Call) -> Reply:
    """Add labels to an issue; those that the repository lacks are made."""
    issue, data = find_issue(call), call.data()
    names = _known_labels(call, _label_names(data.get("labels")))
    _set_labels(call, issue, [*issue.labels, *(name for name in names if name not in issue.labels)])
    issue.updated_at = call.now
    return call.created(_labels(call, call.repo, issue), status=200)


@routes.add("DELETE", ISSUE + "/labels/{name...}", permission="issues:write", role="triage")
def remove_label(call: Call) -> Reply:
    """Take a label off an issue."""
    issue, wanted = find_issue(call), call.params["name"].lower()
    if wanted not in (name.lower() for name in issue.labels):
        raise Refused(404, "Label does not exist")
    _set_labels(call, issue, [name for name in issue.labels if name.lower() != wanted])
    issue.updated_at = call.now
    return call.created(_labels(call, call.repo, issue), status=200)


@routes.add("POST", ISSUE + "/assignees", permission="issues:write", role="triage")
def add_assignees(call: Call) -> Reply:
    """Assign people; those who cannot be assigned are left out without a word."""
    issue, data = find_issue(call), call.data()
    for login in data.get("assignees") or []:
        if isinstance(login, str) and call.has_role("read", login) and login not in issue.assignees:
            issue.assignees.append(login)
    issue.updated_at = call.now
    return call.created(shapes.issue(call, call.repo, issue))


@routes.add("GET", LABELS, permission="issues:read")
def list_labels(call: Call) -> Reply:
    """List the repository's labels."""
    repo = call.repo
    return call.page(list(repo.labels.values()), lambda one: shapes.label(call, repo, one))


@routes.add("POST", LABELS, permission="issues:write", role="triage")
def create_label(call: Call) -> Reply:
    """Make a label; one that exists is refused."""
    repo, data = call.repo, call.data()
    name = data.get("name")
    if not isinstance(name, str) or not name:
        raise invalid("Label", "name")
    if name.lower() in repo.labels:
        raise invalid("Label", "name", "already_exists")
    label = Label(
        call.state.new_id("label", 8001), name, data.get("color", "ededed"), data.get("description")
    )
    repo.labels[name.lower()] = label
    body = shapes.label(call, repo, label)
    return call.created(body, location=body["url"])


@routes.add("GET", LABELS + "/{name...}", permission="issues:read")
def get_label(call: Call) -> Reply:
    """Return a label."""
    label = call.repo.labels.get(call.params["name"].lower())
    if label is None:
        raise Refused(404, "Not Found")
    return Reply(200, shapes.label(call, call.repo, label))
