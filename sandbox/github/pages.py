"""What is not the REST API: plain pages behind ``html_url`` links, and the image registry's login probe."""

import html
import re

from sandbox.github.records import Repository, Token, User
from sandbox.github.shapes import when
from sandbox.github.state import State
from sandbox.wire import Bytes, Json, Refused, Reply, Request

PAGE = re.compile(r"/(?P<owner>[^/]+)/(?P<name>[^/]+)/(?P<kind>issues|actions/runs)/(?P<number>\d+)")
MANIFEST = re.compile(r"/v2/(?P<image>[^/]+/[^/]+)/manifests/(?P<tag>[^/]+)")
FRAME = (
    "<!doctype html><meta charset=utf-8><title>{title}</title>"
    "<style>body{{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}"
    "article{{border:1px solid #ccc;border-radius:6px;margin:1rem 0}}"
    "header{{background:#eee;padding:.4rem .8rem}}pre{{white-space:pre-wrap;padding:0 .8rem}}</style>"
    "<h1>{title}</h1>{body}"
)


def page(state: State, request: Request) -> Reply | None:
    """Return the page of an issue or a run; a sandbox shows them to everybody on the machine."""
    match = PAGE.match(request.path)
    repository = state.repository(match["owner"], match["name"]) if match else None
    if match is None or repository is None or request.method != "GET":
        return None
    number = int(match["number"])
    if match["kind"] == "issues":
        return _issue(repository, number)
    return _run(repository, number, state)


def _html(title: str, parts: list[tuple[str, str]]) -> Reply:
    articles = [
        f"<article><header>{html.escape(head)}</header><pre>{html.escape(text)}</pre></article>"
        for head, text in parts
    ]
    text = FRAME.format(title=html.escape(title), body="".join(articles))
    return Reply(200, Bytes(text.encode()), content_type="text/html; charset=utf-8")


def _issue(repository: Repository, number: int) -> Reply | None:
    issue = repository.issues.get(number)
    if issue is None:
        return None
    parts = [(f"{issue.author} · {when(issue.created_at)} · {', '.join(issue.labels)}", issue.body or "")]
    comments = sorted(
        (one for one in repository.comments.values() if one.issue == number), key=lambda one: one.id
    )
    parts += [(f"{one.author} · {when(one.created_at)}", one.body) for one in comments]
    return _html(f"{issue.title} #{number} ({issue.state})", parts)


def _run(repository: Repository, number: int, state: State) -> Reply | None:
    run = repository.runs.get(number)
    if run is None:
        return None
    now = state.clock.now()
    parts = []
    for attempt in reversed(run.attempts):
        jobs = [f"{job.plan.name}: {job.status(now)} {job.conclusion or ''}".strip() for job in attempt.jobs]
        head = f"Attempt {attempt.number} · {attempt.status(now)} {attempt.conclusion(now) or ''}"
        parts.append((head, "\n".join(jobs)))
    return _html(f"{repository.workflows[run.workflow_id].name} · {run.title}", parts)


def is_registry(request: Request) -> bool:
    """Whether a request is one for the image registry (GHCR), which has the same login."""
    return request.path == "/token" or request.path.startswith("/v2/")


def registry(state: State, request: Request, account: tuple[User, Token] | None) -> Reply:
    """Answer the two requests that prove a login and a pull permission without docker."""
    try:
        if request.path == "/token":
            return Reply(200, _registry_token(request, account))
        return _manifest(state, request, account)
    except Refused as refused:
        code = {401: "UNAUTHORIZED", 403: "DENIED"}.get(refused.status, "MANIFEST_UNKNOWN")
        return Reply(
            refused.status, {"errors": [{"code": code, "message": refused.message}]}, dict(refused.headers)
        )


def _registry_token(request: Request, account: tuple[User, Token] | None) -> Json:
    if account is None and "authorization" in request.headers:
        raise Refused(403, "denied: denied")
    return {"token": account[1].value if account else "anonymous"}


def _manifest(state: State, request: Request, account: tuple[User, Token] | None) -> Reply:
    if "authorization" not in request.headers:
        realm = f"http://{request.headers.get('host', 'localhost')}/token"
        challenge = f'Bearer realm="{realm}",service="ghcr.io",scope="repository:user/image:pull"'
        raise Refused(401, "authentication required", headers={"WWW-Authenticate": challenge})
    match = MANIFEST.fullmatch(request.path)
    login = account[0].login.lower() if account else ""
    found = [
        image
        for one in state.repositories.values()
        if match and one.roles.get(login, "none" if one.private else "read") != "none"
        for image in one.images
        if image.name == match["image"] and image.is_called(match["tag"])
    ]
    if not found:
        raise Refused(404, "manifest unknown")
    kind = "application/vnd.oci.image.index.v1+json"
    # A tag that was pushed again names the newest.
    digest = max(found, key=lambda one: one.created_at).digest
    headers = {"Docker-Content-Digest": digest}
    return Reply(200, {"schemaVersion": 2, "mediaType": kind}, headers, content_type=kind)
