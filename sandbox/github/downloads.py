"""Logs and artifacts: the API answers with a link good for a minute, the store behind it with the bytes."""

import hashlib
import hmac
import io
import secrets
import zipfile
from datetime import datetime, timedelta

from sandbox.github.records import Artifact, Attempt, Repository, Run
from sandbox.github.routing import Call, routes
from sandbox.github.runs import ACTIONS, RUN, find_attempt, find_job, find_run
from sandbox.github.shapes import artifact
from sandbox.github.state import State
from sandbox.wire import Body, Bytes, Refused, Reply, Request

STORE = "/_store/"
LINK_SECONDS = 60
LOG_RETENTION = timedelta(days=90)
KEY = secrets.token_bytes(32)


def _link(call: Call, what: str) -> Reply:
    expires = call.now + timedelta(seconds=LINK_SECONDS)
    stamp = str(int(expires.timestamp()))
    path = f"{STORE}{call.repo.full_name}/{what}"
    link = f"http://{_store_host(call)}{path}?se={stamp}&sig={_signature(path, stamp)}"
    return Reply(302, None, {"Location": link})


def _store_host(call: Call) -> str:
    """Return another host name for the same server: GitHub's store is not at the API's host either.

    Clients rely on it: gh, for one, keeps its token to the host that it was made for.
    """
    host, _, port = call.request.headers.get("host", "").partition(":")
    other = {"127.0.0.1": "localhost", "localhost": "127.0.0.1"}.get(host, "store.localhost")
    return f"{other}:{port}" if port else other


def _signature(path: str, expires: str) -> str:
    return hmac.new(KEY, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()


def _check_logs_kept(call: Call, run: Run) -> None:
    if run.logs_gone or call.now - run.created_at > LOG_RETENTION:
        raise Refused(410, "Server Error")  # GitHub's own words for logs that have expired


@routes.add("GET", ACTIONS + "/jobs/{job_id}/logs", permission="actions:read")
def download_job_logs(call: Call) -> Reply:
    """Redirect to the log of a finished job."""
    run, job = find_job(call)
    _check_logs_kept(call, run)
    if job.status(call.now) != "completed":
        raise Refused(404, "Not Found")
    return _link(call, f"job/{job.id}")


@routes.add("GET", RUN + "/logs", permission="actions:read")
def download_run_logs(call: Call) -> Reply:
    """Redirect to the zip of the latest attempt's logs."""
    run = find_run(call)
    return _run_logs(call, run, run.latest)


@routes.add("GET", RUN + "/attempts/{attempt}/logs", permission="actions:read")
def download_attempt_logs(call: Call) -> Reply:
    """Redirect to the zip of one attempt's logs."""
    run = find_run(call)
    return _run_logs(call, run, find_attempt(call, run))


def _run_logs(call: Call, run: Run, attempt: Attempt) -> Reply:
    _check_logs_kept(call, run)
    if attempt.status(call.now) != "completed":
        raise Refused(404, "Not Found")
    return _link(call, f"run/{run.id}-{attempt.number}")


def _artifacts(call: Call, rows: list[Artifact]) -> Reply:
    repo = call.repo
    if name := call.request.query.get("name"):
        rows = [one for one in rows if one.name == name]
    return call.page(rows, lambda one: artifact(call, repo, one), "artifacts")


@routes.add("GET", RUN + "/artifacts", permission="actions:read")
def list_run_artifacts(call: Call) -> Reply:
    """List the artifacts of a run."""
    run = find_run(call)
    return _artifacts(call, [one for one in call.repo.artifacts.values() if one.run_id == run.id])


@routes.add("GET", ACTIONS + "/artifacts", permission="actions:read")
def list_artifacts(call: Call) -> Reply:
    """List the artifacts of a repository, newest first."""
    rows = [one for one in call.repo.artifacts.values() if one.run_id in call.repo.runs]
    return _artifacts(call, rows[::-1])


def _find_artifact(call: Call) -> Artifact:
    found = call.repo.artifacts.get(call.number("artifact_id"))
    if found is None or found.run_id not in call.repo.runs:
        raise Refused(404, "Not Found")
    return found


@routes.add("GET", ACTIONS + "/artifacts/{artifact_id}", permission="actions:read")
def get_artifact(call: Call) -> Reply:
    """Return an artifact's facts."""
    return Reply(200, artifact(call, call.repo, _find_artifact(call)))


@routes.add("GET", ACTIONS + "/artifacts/{artifact_id}/zip", permission="actions:read")
def download_artifact(call: Call) -> Reply:
    """Redirect to an artifact's content."""
    found = _find_artifact(call)
    if found.expired:
        raise Refused(410, "Artifact has expired")
    return _link(call, f"artifact/{found.id}")


def serve(state: State, request: Request, now: datetime) -> Reply:
    """Answer for the store: it knows links, not tokens, and refuses a request that carries both."""
    if "authorization" in request.headers:
        raise Refused(400, "InvalidAuthenticationInfo: a signed link must be fetched without Authorization")
    expires = request.query.get("se", "")
    if not hmac.compare_digest(request.query.get("sig", ""), _signature(request.path, expires)):
        raise Refused(403, "AuthenticationFailed: the signature does not fit the link")
    if now.timestamp() > int(expires):
        raise Refused(403, "AuthenticationFailed: the link has expired")
    owner, name, kind, what = request.path.removeprefix(STORE).split("/")
    repository = state.repository(owner, name)
    if repository is None:
        raise Refused(404, "BlobNotFound")
    zipped = kind != "job"
    try:
        body = _content(repository, kind, what)
    except KeyError as error:  # deleted since the link was made
        raise Refused(404, "BlobNotFound") from error
    return Reply(200, body, content_type="application/zip" if zipped else "text/plain")


def _content(repository: Repository, kind: str, what: str) -> Body:
    if kind == "artifact":
        found = repository.artifacts[int(what)]
        return _zip({name: Bytes(text.encode()) for name, text in found.files.items()})
    if kind == "run":
        number, attempt = (int(part) for part in what.split("-"))
        jobs = repository.runs[number].attempts[attempt - 1].jobs
        return _zip({f"{index}_{job.plan.name}.txt": job.log() for index, job in enumerate(jobs)})
    for run in repository.runs.values():
        for one in run.attempts:
            for job in one.jobs:
                if job.id == int(what):
                    return job.log()
    raise Refused(404, "BlobNotFound")


def _zip(files: dict[str, Body]) -> Body:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            with archive.open(name.replace("/", "_"), "w") as entry:
                for chunk in body.chunks():
                    entry.write(chunk)
    return Bytes(buffer.getvalue())
