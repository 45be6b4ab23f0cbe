"""GitHub Actions: runs, jobs, logs, artifacts, caches, workflows."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

from runbook.clients.github_calls import PAGE_SIZE, Calls, quoted, repository_path
from runbook.clients.github_facts import actions_cache, artifact, job, parse, workflow, workflow_run
from runbook.decisions.newer_run import branch_of
from runbook.models import ActionsCache, Artifact, Frozen, Job, Workflow, WorkflowRun

MOST_LISTED_RUNS = 1_000
"""Results that GitHub gives of a filtered listing of runs, on however many pages."""


class RunsPage(Frozen):
    """One page of a listing of runs.

    Args:
        runs: Newest first.
        total: How many there are on all pages, as GitHub counts them.
        more: Whether another page follows.
        etag: By which GitHub says later whether the page has changed; None where it gave none.
    """

    runs: tuple[WorkflowRun, ...]
    total: int
    more: bool
    etag: str | None


class ActionsCalls(Calls):
    """Reads and writes under ``/actions``."""

    def get_run(self, repository: str, run_id: int) -> WorkflowRun:
        """Return a run's newest attempt.

        Raises:
            NotFound: There is no such run (it may have been deleted).
        """
        data = self._get(
            f"{repository_path(repository)}/actions/runs/{run_id}",
            purpose=f"read run {run_id} of {repository}",
        )
        return parse("run", lambda found: workflow_run(repository, found), data)

    def get_run_attempt(self, repository: str, run_id: int, *, attempt: int) -> WorkflowRun:
        """Return one attempt of a run.

        Raises:
            NotFound: There is no such run or attempt.
        """
        data = self._get(
            f"{repository_path(repository)}/actions/runs/{run_id}/attempts/{attempt}",
            purpose=f"read attempt {attempt} of run {run_id} of {repository}",
        )
        return parse("run", lambda found: workflow_run(repository, found), data)

    def green_run_before(self, run: WorkflowRun) -> WorkflowRun | None:
        """Return the newest green run of the same workflow and branch that was created before a run, if there is one.

        What became green after it has nothing to say about what broke it; nor has a run of a fork's branch that
        happens to have the same name, which GitHub lists alike.

        Args:
            run: The run.
        """
        # Almost always the first is one; a page of a hundred whole runs is large.
        for limit in (1, PAGE_SIZE):
            green = self.list_runs(
                run.repository,
                workflow=run.workflow_file,
                branch=run.head_branch,
                status="success",
                created_until=run.created_at,
                limit=limit,
            )
            found = next((one for one in green if branch_of(one) == branch_of(run)), None)
            if found is not None or len(green) < limit:
                return found
        return None

    def runs_after(self, run: WorkflowRun) -> tuple[WorkflowRun, ...]:
        """Return the runs of the same workflow, branch and event since a run was created, newest first.

        Args:
            run: The run; it is among them.
        """
        return self.list_runs(
            run.repository,
            workflow=run.workflow_file,
            branch=run.head_branch,
            event=run.event,
            created_since=run.created_at,
            limit=PAGE_SIZE,
        )

    def list_runs(
        self,
        repository: str,
        *,
        workflow: str | None = None,
        branch: str | None = None,
        status: str | None = None,
        event: str | None = None,
        head_sha: str | None = None,
        created_since: datetime | None = None,
        created_until: datetime | None = None,
        limit: int,
    ) -> tuple[WorkflowRun, ...]:
        """Return runs, newest first.

        Args:
            repository: ``owner/name``.
            workflow: A workflow's file name or id.
            branch: The head branch.
            status: A status or conclusion.
            event: What triggered it.
            head_sha: The commit.
            created_since: The earliest creation; not beside ``created_until``.
            created_until: The latest creation.
            limit: The most to return; GitHub itself lists no more than 1,000 of a filtered listing.
        """
        base = f"{repository_path(repository)}/actions"
        entries = self._pages(
            f"{base}/workflows/{quoted(workflow)}/runs" if workflow is not None else f"{base}/runs",
            purpose=f"list runs of {repository}",
            field="workflow_runs",
            query={
                "branch": branch,
                "status": status,
                "event": event,
                "head_sha": head_sha,
                "created": _created(created_since, created_until),
            },
            page_size=max(1, min(limit, PAGE_SIZE)),
        )
        return tuple(
            parse("run", lambda found: workflow_run(repository, found), entry)
            for entry in islice(entries, limit)
        )

    def read_runs_page(
        self,
        repository: str,
        *,
        created_from: datetime,
        created_to: datetime,
        page: int,
        etag: str | None = None,
    ) -> RunsPage | None:
        """Return one page of the runs that were created in a window; None where it is as ``etag`` says.

        Args:
            repository: ``owner/name``.
            created_from: The earliest creation, to the second.
            created_to: The latest creation, to the second.
            page: From 1; of all pages together GitHub gives ``MOST_LISTED_RUNS``.
            etag: Of the page as the caller has it; asking so costs nothing if it is still the same.
        """
        purpose = f"list runs of {repository}"
        answer = self._transport.call(
            "GET",
            f"{repository_path(repository)}/actions/runs",
            purpose=purpose,
            query={
                "created": f"{_second(created_from)}..{_second(created_to)}",
                "per_page": PAGE_SIZE,
                "page": page,
            },
            etag=etag,
        )
        if answer.status == 304:
            return None
        return parse(
            "list of runs",
            lambda data: RunsPage(
                runs=tuple(workflow_run(repository, entry) for entry in data["workflow_runs"]),
                total=data["total_count"],
                more='rel="next"' in answer.headers.get("link", ""),
                etag=answer.headers.get("etag"),
            ),
            answer.decoded(purpose),
        )

    def list_secret_names(self, repository: str) -> tuple[str, ...]:
        """Return the names of the repository's Actions secrets; nobody is ever given their values.

        Raises:
            Denied: This credential may not list them.
        """
        entries = self._pages(
            f"{repository_path(repository)}/actions/secrets",
            purpose=f"list the names of the Actions secrets of {repository}",
            field="secrets",
        )
        return tuple(parse("secret", lambda found: str(found["name"]), entry) for entry in entries)

    def list_jobs(self, repository: str, run_id: int, *, attempt: int) -> tuple[Job, ...]:
        """Return the jobs of one attempt, with their steps."""
        entries = self._pages(
            f"{repository_path(repository)}/actions/runs/{run_id}/attempts/{attempt}/jobs",
            purpose=f"list the jobs of attempt {attempt} of run {run_id} of {repository}",
            field="jobs",
        )
        return tuple(parse("job", job, entry) for entry in entries)

    def stream_job_log(
        self, repository: str, job_id: int, *, largest_bytes: int | None = None
    ) -> Iterator[bytes]:
        """Return a job's log, piece by piece, without holding it in memory.

        It is opened before this returns; read it at once, for the link behind it lasts a minute.

        Args:
            repository: ``owner/name``.
            job_id: The job.
            largest_bytes: After as many bytes the iterator raises ``TooLarge``; no limit where None.

        Raises:
            Gone: The log has expired or was deleted.
            Transient: The download failed, now or (raised by the iterator) on the way.
        """
        return self._transport.stream(
            f"{repository_path(repository)}/actions/jobs/{job_id}/logs",
            purpose=f"read the log of job {job_id} of {repository}",
            largest_bytes=largest_bytes,
        )

    def list_artifacts(self, repository: str, run_id: int) -> tuple[Artifact, ...]:
        """Return the artifacts of a run, of all its attempts, also those whose content has expired."""
        entries = self._pages(
            f"{repository_path(repository)}/actions/runs/{run_id}/artifacts",
            purpose=f"list the artifacts of run {run_id} of {repository}",
            field="artifacts",
        )
        return tuple(parse("artifact", artifact, entry) for entry in entries)

    def stream_artifact(
        self, repository: str, artifact_id: int, *, largest_bytes: int | None = None
    ) -> Iterator[bytes]:
        """Return an artifact's zip, as ``stream_job_log`` does a log."""
        return self._transport.stream(
            f"{repository_path(repository)}/actions/artifacts/{artifact_id}/zip",
            purpose=f"read artifact {artifact_id} of {repository}",
            largest_bytes=largest_bytes,
        )

    def rerun_failed_jobs(self, repository: str, run_id: int) -> None:
        """Start a new attempt of a run's failed jobs and of those that depend on them.

        Raises:
            Conflict: GitHub refuses: it still runs, is older than 30 days, or had 50 re-runs.
            Ambiguous: Whether it started is unknown; the run's newest attempt tells.
        """
        self._order(
            "POST",
            f"{repository_path(repository)}/actions/runs/{run_id}/rerun-failed-jobs",
            purpose=f"re-run the failed jobs of run {run_id} of {repository}",
            expect=(201,),
        )

    def cancel_run(self, repository: str, run_id: int) -> None:
        """Ask GitHub to cancel a run.

        Raises:
            Conflict: It has ended already.
        """
        self._order(
            "POST",
            f"{repository_path(repository)}/actions/runs/{run_id}/cancel",
            purpose=f"cancel run {run_id} of {repository}",
            expect=(202,),
        )

    def list_caches(
        self, repository: str, *, ref: str | None = None, key: str | None = None
    ) -> tuple[ActionsCache, ...]:
        """Return the repository's caches, from all pages, each once.

        Args:
            repository: ``owner/name``.
            ref: Only of this ref, in full: ``refs/heads/main``, ``refs/pull/7/merge``.
            key: Only keys that start with this.
        """
        entries = self._pages(
            f"{repository_path(repository)}/actions/caches",
            purpose=f"list the caches of {repository}",
            field="actions_caches",
            # A stable order: by the default (last used), one used meanwhile would jump over a page border.
            query={"ref": ref, "key": key, "sort": "created_at", "direction": "asc"},
        )
        found = (parse("cache", actions_cache, entry) for entry in entries)
        return tuple({cache.id: cache for cache in found}.values())

    def delete_cache_by_id(self, repository: str, cache_id: int) -> None:
        """Delete one cache.

        Raises:
            NotFound: There is none of that id (any more).
        """
        self._order(
            "DELETE",
            f"{repository_path(repository)}/actions/caches/{cache_id}",
            purpose=f"delete cache {cache_id} of {repository}",
            expect=(204,),
        )

    def delete_caches_by_key(self, repository: str, *, key: str, ref: str) -> tuple[ActionsCache, ...]:
        """Delete every cache (of whatever version) of exactly this key and ref; return what was deleted.

        Args:
            repository: ``owner/name``.
            key: The complete key.
            ref: The ref in full.

        Raises:
            NotFound: There is none (any more).
        """
        return self._write(
            "DELETE",
            f"{repository_path(repository)}/actions/caches",
            purpose=f"delete the caches {key!r} on {ref} of {repository}",
            kind="deletion",
            build=lambda found: tuple(actions_cache(entry) for entry in found["actions_caches"]),
            query={"key": key, "ref": ref},
        )

    def list_workflows(self, repository: str) -> tuple[Workflow, ...]:
        """Return the repository's workflows."""
        entries = self._pages(
            f"{repository_path(repository)}/actions/workflows",
            purpose=f"list the workflows of {repository}",
            field="workflows",
        )
        return tuple(parse("workflow", workflow, entry) for entry in entries)


def _created(since: datetime | None, until: datetime | None) -> str | None:
    """Return the listing's filter by creation, to the second, in UTC."""
    for sign, at in ((">=", since), ("<=", until)):
        if at is not None:
            return f"{sign}{_second(at)}"
    return None


def _second(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
