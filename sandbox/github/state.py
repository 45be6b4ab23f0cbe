"""What the GitHub stand-in remembers, and how time changes it.

A job knows when it starts and ends; what becomes of it is decided at its start, by the state of that moment
(a cache that is restored must exist then). ``settle`` brings the state up to date before each request, so
that nothing happens between requests that a request could not see.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from sandbox.clock import Clock
from sandbox.github.records import Attempt, Cache, Job, JobPlan, Repository, Run, User
from sandbox.wire import Json


class State:
    """All accounts and repositories, with ids handed out in order.

    Args:
        clock: The time everything lives by.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.users: dict[str, User] = {}
        self.repositories: dict[str, Repository] = {}
        self.revision = 0  # counts changes made by requests
        self._ids: dict[str, Iterator[int]] = {}
        self.webhook_secret = "sandbox"  # noqa: S105 - of hooks that a scenario gives none of their own
        self._running: list[tuple[Repository, Run, Attempt]] = []
        self._completed: list[tuple[Repository, Run, Attempt]] = []

    def new_id(self, kind: str, first: int = 1) -> int:
        """Return the next id of a kind of thing."""
        return next(self._ids.setdefault(kind, count(first)))

    def touch(self) -> None:
        """Note that a request changed something."""
        self.revision += 1

    def user(self, login: str) -> User | None:
        """Return an account; logins do not differ by case."""
        return self.users.get(login.lower())

    def repository(self, owner: str, name: str) -> Repository | None:
        """Return a repository; names do not differ by case."""
        return self.repositories.get(f"{owner}/{name}".lower())

    def start_attempt(
        self, repository: Repository, run: Run, *, actor: str, jobs: list[Job], at: datetime
    ) -> Attempt:
        """Begin a new attempt of a run."""
        attempt = Attempt(len(run.attempts) + 1, at, actor, jobs)
        run.attempts.append(attempt)
        if attempt.ended_at() > self.clock.now():
            self._running.append((repository, run, attempt))
        return attempt

    def new_job(self, plan: JobPlan, *, attempt: int, queued_at: datetime, queued_seconds: float) -> Job:
        """Return a job that waits ``queued_seconds`` for a runner."""
        starts = queued_at + timedelta(seconds=queued_seconds)
        ends = starts + timedelta(seconds=plan.seconds)
        return Job(self.new_id("job", 30_000_000_001), plan, attempt, queued_at, starts, ends)

    def settle(self) -> None:
        """Bring running jobs up to now: outcomes are decided, caches saved."""
        now = self.clock.now()
        for repository, run, attempt in list(self._running):
            for job in sorted(attempt.jobs, key=lambda one: one.starts_at):
                if job.conclusion is None and now >= job.starts_at:
                    job.conclusion = self._outcome(repository, job.plan)
            if attempt.status(now) == "completed":
                self._running.remove((repository, run, attempt))
                if repository.hooks:
                    self._completed.append((repository, run, attempt))
                for job in attempt.jobs:
                    if not job.carried and job.conclusion == "success":
                        self._save_caches(repository, job)

    def take_completed(self) -> list[tuple[Repository, Run, Attempt]]:
        """Return the attempts that ended since it was last asked, in repositories with webhooks."""
        taken, self._completed = self._completed, []
        return taken

    @staticmethod
    def _outcome(repository: Repository, plan: JobPlan) -> str:
        if plan.fails_while_cache is None:
            return plan.conclusion
        key, ref = plan.fails_while_cache
        there = any(cache.key == key and cache.ref == ref for cache in repository.caches.values())
        return "failure" if there else "success"

    def _save_caches(self, repository: Repository, job: Job) -> None:
        for key, ref, size in job.plan.saves_cache:
            if not any(cache.key == key and cache.ref == ref for cache in repository.caches.values()):
                self.add_cache(repository, key=key, ref=ref, size=size, at=job.ends_at)

    def add_cache(
        self,
        repository: Repository,
        *,
        key: str,
        ref: str,
        size: int,
        at: datetime,
        used_at: datetime | None = None,
        version: str | None = None,
    ) -> Cache:
        """Store a cache entry of ``size`` bytes."""
        entry = Cache(
            self.new_id("cache", 501),
            key,
            ref,
            version or hashlib.sha256(key.encode()).hexdigest(),
            size,
            at,
            used_at or at,
        )
        repository.caches[entry.id] = entry
        return entry

    def as_json(self) -> Json:
        """Return what ``GET /_sandbox/state`` shows: enough to judge what was done, no tokens."""
        now = self.clock.now()
        return {
            "now": now.isoformat(),
            "repositories": {one.full_name: _repository_json(one, now) for one in self.repositories.values()},
        }


def _repository_json(repository: Repository, now: datetime) -> Json:
    def rows(things: Any, *names: str) -> list[Json]:
        return [{name: getattr(thing, name) for name in names} for thing in things.values()]

    return {
        "roles": repository.roles,
        "workflows": rows(repository.workflows, "id", "path", "state"),
        "runs": [
            {
                "id": run.id,
                "workflow_id": run.workflow_id,
                "branch": run.branch,
                "attempts": [
                    {
                        "number": attempt.number,
                        "status": attempt.status(now),
                        "conclusion": run.conclusion or attempt.conclusion(now),
                        "actor": attempt.actor,
                        "jobs": [
                            {"id": job.id, "name": job.plan.name, "conclusion": job.conclusion}
                            for job in attempt.jobs
                        ],
                    }
                    for attempt in run.attempts
                ],
            }
            for run in repository.runs.values()
        ],
        "caches": rows(repository.caches, "id", "key", "ref", "size"),
        "labels": sorted(repository.labels),
        "issues": rows(repository.issues, "number", "title", "body", "author", "state", "labels"),
        "comments": rows(repository.comments, "id", "issue", "author", "body", "app"),
    }
