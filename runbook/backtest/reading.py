"""Reads a repository's past from GitHub, each answer once: what is kept is not asked for again, or only by its ETag."""

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from importlib import resources

from runbook.backtest.facts import FailureFacts, History
from runbook.backtest.judge import ended
from runbook.backtest.store import Store, cleaned
from runbook.canonical import digest
from runbook.clients.github_actions import MOST_LISTED_RUNS, RunsPage
from runbook.clients.github_client import GitHubClient
from runbook.decisions.deliveries import is_failed
from runbook.decisions.severity import AffectedRef, affected_ref
from runbook.errors import Denied, NotFound
from runbook.failed_run import classify_run, failed_jobs, read_failed_logs, read_reports
from runbook.models import Frozen, WorkflowRun
from runbook.policy import Policy
from runbook.triage.catalogue import Catalogue

WINDOW = timedelta(days=7)
"""Runs are listed by windows that begin at fixed times, so that the next backtest asks for the same ones."""

READERS = 4
"""Failed attempts read at once: reading is mostly waiting."""

_EPOCH = datetime(2018, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)

Report = Callable[[str, int, int], None]
"""Told what is being read, how much of it is done, and of how much."""


class _Triaged(Frozen):
    """A failure as it is kept: what another version of triage, or other signatures, said is not taken over."""

    reader: str
    facts: FailureFacts


class HistoryReader:
    """Reads one repository. Interrupting it loses only the answers that are under way.

    Args:
        github: Who may read the repository.
        store: Where answers are kept.
        policy: The policy that triage would have had; it names the repository.
        repository: owner/name.
        catalogue: The signatures.
        report: Told of the progress, in the caller's thread.
        stop: Called when it is interrupted; ends what the client waits for in other threads.
    """

    def __init__(
        self,
        github: GitHubClient,
        store: Store,
        *,
        policy: Policy,
        repository: str,
        catalogue: Catalogue,
        report: Report,
        stop: Callable[[], None] = lambda: None,
    ) -> None:
        self._github = github
        self._store = store
        self._policy = policy
        self._repository = policy.repository(repository)
        self._catalogue = catalogue
        self._report = report
        self._stop = stop

    def read(self, *, since: datetime, until: datetime, limit: int | None = None) -> History:
        """Read the runs that were created since a time, and triage those that failed.

        Args:
            since: The earliest creation, UTC-aware.
            until: The present, UTC-aware.
            limit: Triage only so many failed attempts, the newest ones; None for all.
        """
        runs = [run for run in self._runs(since, until) if since <= run.created_at <= until]
        attempts = sorted(self._attempts(runs), key=ended)
        failed = [run for run in attempts if self._is_failed(run)]
        chosen = failed if limit is None else failed[max(0, len(failed) - limit) :]
        return History(
            repository=self._repository.name,
            since=since,
            until=until,
            attempts=tuple(attempts),
            failures=self._failures(chosen),
            failed_in_all=len(failed),
        )

    # --- Runs and attempts ---

    def _runs(self, since: datetime, until: datetime) -> list[WorkflowRun]:
        start = _EPOCH + (since - _EPOCH) // WINDOW * WINDOW
        windows = (until - start) // WINDOW + 1
        found: dict[int, WorkflowRun] = {}
        for number in range(windows):
            self._report("weeks of runs", number, windows)
            begin = start + number * WINDOW
            # Newest first: a run that is created meanwhile shows the one before it twice.
            found |= {run.id: run for run in self._window(begin, begin + WINDOW - _SECOND)}
        self._report("weeks of runs", windows, windows)
        return list(found.values())

    def _window(self, begin: datetime, end: datetime) -> Iterator[WorkflowRun]:
        first = self._page(begin, end, 1)
        if first.total >= MOST_LISTED_RUNS and end > begin:
            # GitHub shows no more of one listing: ask for each half.
            middle = begin + (end - begin) // (2 * _SECOND) * _SECOND
            yield from self._window(middle + _SECOND, end)
            yield from self._window(begin, middle)
            return
        page, number = first, 1
        yield from page.runs
        while page.more:
            number += 1
            page = self._page(begin, end, number)
            yield from page.runs

    def _page(self, begin: datetime, end: datetime, number: int) -> RunsPage:
        name = f"runs/{begin:%Y%m%dT%H%M%S}-{end:%Y%m%dT%H%M%S}-{number}"
        kept = self._store.get(name, RunsPage)
        page = self._github.read_runs_page(
            self._repository.name,
            created_from=begin,
            created_to=end,
            page=number,
            etag=kept.etag if kept else None,
        )
        if page is not None:
            return self._store.put(name, page)
        assert kept is not None  # noqa: S101 - without an ETag GitHub does not answer "not modified"
        return kept

    def _attempts(self, runs: list[WorkflowRun]) -> Iterator[WorkflowRun]:
        earlier = [(run, attempt) for run in runs for attempt in range(1, run.run_attempt)]
        for number, (run, attempt) in enumerate(earlier):
            self._report("earlier attempts", number, len(earlier))
            found = self._attempt(run.id, attempt)
            if found is not None:
                yield found
        if earlier:
            self._report("earlier attempts", len(earlier), len(earlier))
        yield from (run for run in runs if run.status == "completed")

    def _attempt(self, run_id: int, attempt: int) -> WorkflowRun | None:
        name = f"attempts/{run_id}-{attempt}"
        kept = self._store.get(name, WorkflowRun)
        if kept is not None:
            return kept
        try:
            found = self._github.get_run_attempt(self._repository.name, run_id, attempt=attempt)
        except NotFound:
            return None  # deleted since it was listed
        return self._store.put(name, found) if found.status == "completed" else None

    def _is_failed(self, run: WorkflowRun) -> bool:
        return is_failed(run.conclusion, ref=affected_ref(run, self._repository))

    # --- Failures ---

    def _failures(self, failed: list[WorkflowRun]) -> tuple[FailureFacts, ...]:
        found: dict[tuple[int, int], FailureFacts] = {}
        if failed:
            self._catalogue.databases  # noqa: B018 - compiled once, before several threads ask for it
        workers = max(1, min(READERS, len(failed)))
        with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="backtest") as readers:
            waiting = {
                readers.submit(self._failure, run): (run.id, run.run_attempt) for run in reversed(failed)
            }
            try:
                for done in as_completed(waiting):
                    found[waiting[done]] = done.result()
                    self._report("failed attempts", len(found), len(failed))
            except BaseException:
                self._stop()
                readers.shutdown(wait=True, cancel_futures=True)  # those under way are kept as well
                raise
        return tuple(found[run.id, run.run_attempt] for run in failed)

    def _failure(self, run: WorkflowRun) -> FailureFacts:
        name = f"failures/{run.id}-{run.run_attempt}"
        kept = self._store.get(name, _Triaged)
        if kept is not None and kept.reader == self._reader:
            return kept.facts
        facts = self._triaged(run)
        if facts.incomplete:  # GitHub had a bad moment: that is not what happened then
            return cleaned(facts)
        return self._store.put(name, _Triaged(reader=self._reader, facts=facts)).facts

    def _triaged(self, run: WorkflowRun) -> FailureFacts:
        try:
            jobs = self._github.list_jobs(self._repository.name, run.id, attempt=run.run_attempt)
        except NotFound:
            return FailureFacts(
                run=run,
                classification=classify_run(run, (), ()),
                failed_jobs=1,
                logs_read=0,
                logs_gone=1,
                notes=("its jobs were deleted, and their logs with them",),
            )
        failed = failed_jobs(jobs)
        reading = read_failed_logs(
            self._github,
            self._repository.name,
            failed,
            catalogue=self._catalogue,
            largest_bytes=self._policy.caps.max_log_bytes,
            report=lambda number, job: None,
        )
        findings = read_reports(self._github, run, policy=self._policy, report=lambda name: None)
        return FailureFacts(
            run=run,
            classification=classify_run(run, failed, reading.scans, findings),
            failed_jobs=len(failed),
            logs_read=len(reading.scans),
            logs_gone=reading.gone,
            pull_requests=self._pull_requests(run),
            notes=(*reading.notes, *findings.notes),
            incomplete=findings.incomplete,
        )

    def _pull_requests(self, run: WorkflowRun) -> tuple[int, ...]:
        if affected_ref(run, self._repository) is not AffectedRef.PULL_REQUEST:
            return ()
        if run.pull_requests:
            return run.pull_requests
        try:  # GitHub leaves those out that are of forks, and those that are no longer open
            found = self._github.list_pull_requests(self._repository.name, head_sha=run.head_sha, state="all")
        except (Denied, NotFound):
            return ()
        return tuple(request.number for request in found)

    @cached_property
    def _reader(self) -> str:
        """What tells whether triage would say the same today: its signatures, its code, what it is told to read."""
        return digest(
            {
                "signatures": [one.model_dump(mode="json") for one in self._catalogue.signatures],
                "code": _triage_code(),
                "largest_bytes": self._policy.caps.max_log_bytes,
                "artifacts": {one.file: list(one.artifacts) for one in self._repository.workflows},
            }
        )


@cache
def _triage_code() -> list[str]:
    """Return what tells the code of triage apart, as this process has it."""
    folders = (resources.files("runbook.triage"), resources.files("runbook.artifacts"))
    files = [file for folder in folders for file in folder.iterdir() if file.name.endswith(".py")]
    files.append(resources.files("runbook") / "failed_run.py")
    return sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
