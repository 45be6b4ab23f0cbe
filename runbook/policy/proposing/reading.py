"""Reads what a policy can be guessed from; what this credential may not read is noted, and the rest goes on."""

from collections.abc import Callable
from typing import TypeVar

from runbook.clients.github_client import GitHubClient
from runbook.errors import Denied, NotFound, Permanent
from runbook.models import Workflow
from runbook.policy.proposing.findings import RepositoryFindings, WorkflowFinding

RECENT_GREEN_RUNS = 20
"""Green runs of a workflow whose duration is looked at."""

MOST_REFS = 200
"""Branches, and tags, that are looked at for what a release's are called."""

MOST_WORKFLOWS = 50
"""Workflows whose file and runs are read; a few requests each."""

CODEOWNERS_PLACES = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""Where GitHub looks for it, in its order."""

T = TypeVar("T")


def read_repository(github: GitHubClient, name: str, *, report: Callable[[str], None]) -> RepositoryFindings:
    """Read one repository.

    Args:
        github: Who reads.
        name: owner/name.
        report: Told what is being read.

    Raises:
        NotFound: There is none of that name, or the credential may not see it.
    """
    facts = github.repository_facts(name)
    return _Reader(github, facts.full_name, facts.default_branch, report).read()


class _Reader:
    def __init__(
        self, github: GitHubClient, name: str, default_branch: str, report: Callable[[str], None]
    ) -> None:
        self._github = github
        self._name = name
        self._branch = default_branch
        self._report = report
        self._notes: list[str] = []

    def read(self) -> RepositoryFindings:
        name, github = self._name, self._github
        workflows = self._try("its workflows", lambda: github.list_workflows(name)) or ()
        if len(workflows) > MOST_WORKFLOWS:
            self._notes.append(f"Only {MOST_WORKFLOWS} of its {len(workflows)} workflows were looked at.")
        checks = self._try("its required checks", lambda: github.required_checks(name, self._branch))
        if checks is not None:
            self._notes += [f"Not all required checks could be read: {why}" for why in checks.unreadable]
        branches = self._try("its branches", lambda: github.list_ref_names(name, "branches", limit=MOST_REFS))
        tags = self._try("its tags", lambda: github.list_ref_names(name, "tags", limit=MOST_REFS))
        return RepositoryFindings(
            name=name,
            default_branch=self._branch,
            workflows=tuple(self._workflow(one) for one in workflows[:MOST_WORKFLOWS]),
            required_checks=None if checks is None else checks.contexts,
            caches=self._try("its Actions caches", lambda: github.list_caches(name)),
            secrets=self._try("the names of its Actions secrets", lambda: github.list_secret_names(name)),
            codeowners=self._codeowners(),
            refs=(*(branches or ()), *(tags or ())),
            notes=tuple(self._notes),
        )

    def _workflow(self, workflow: Workflow) -> WorkflowFinding:
        found = WorkflowFinding(path=workflow.path, name=workflow.name, active=workflow.state == "active")
        if not workflow.path.startswith(".github/workflows/"):
            return found
        return found.model_copy(
            update={
                "content": self._file(workflow.path),
                "job_names": self._try(f"the jobs of {workflow.path}", lambda: self._jobs(workflow)) or (),
                "green_minutes": self._try(
                    f"the runs of {workflow.path}", lambda: self._green_minutes(workflow)
                )
                or (),
            }
        )

    def _jobs(self, workflow: Workflow) -> tuple[str, ...]:
        newest = self._github.list_runs(self._name, workflow=str(workflow.id), status="completed", limit=1)
        if not newest:
            return ()
        jobs = self._github.list_jobs(self._name, newest[0].id, attempt=newest[0].run_attempt)
        return tuple(job.name for job in jobs)

    def _green_minutes(self, workflow: Workflow) -> tuple[float, ...]:
        runs = self._github.list_runs(
            self._name,
            workflow=str(workflow.id),
            branch=self._branch,
            status="success",
            limit=RECENT_GREEN_RUNS,
        )
        return tuple((run.updated_at - run.run_started_at).total_seconds() / 60 for run in runs)

    def _codeowners(self) -> str:
        for path in CODEOWNERS_PLACES:
            text = self._file(path)
            if text:
                return text
        return ""

    def _file(self, path: str) -> str:
        self._report(f"{self._name}: {path}")
        try:
            return self._github.get_file(self._name, path).decode("utf-8", "replace")
        except NotFound:
            return ""
        except (Denied, Permanent) as error:
            self._notes.append(f"{path} could not be read: {error.message}")
            return ""

    def _try(self, what: str, call: Callable[[], T]) -> T | None:
        self._report(f"{self._name}: {what}")
        try:
            return call()
        except (Denied, Permanent) as error:
            advice = f" Next: {error.next_step}" if isinstance(error, Denied) else ""
            self._notes.append(f"Not known: {what}. {error.message}{advice}")
            return None
