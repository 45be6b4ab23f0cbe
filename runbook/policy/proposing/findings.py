"""What was found of a repository, in GitHub's own words."""

from runbook.models import ActionsCache, Frozen


class WorkflowFinding(Frozen):
    """One workflow.

    Args:
        path: Its file in the repository, or GitHub's own name for one without a file.
        name: As GitHub shows it.
        active: Whether it is enabled.
        content: The file; empty where it could not be read.
        job_names: The jobs of its newest run, by which required checks are named.
        green_minutes: How long its recent green runs took.
    """

    path: str
    name: str
    active: bool = True
    content: str = ""
    job_names: tuple[str, ...] = ()
    green_minutes: tuple[float, ...] = ()


class RepositoryFindings(Frozen):
    """One repository; None and a note stand for what could not be read.

    Args:
        name: owner/name, as GitHub spells it.
        default_branch: Its name.
        workflows: All of them.
        required_checks: The checks that the default branch requires.
        caches: Its Actions caches.
        secrets: The names of its Actions secrets.
        codeowners: The file's text; empty where there is none.
        refs: Names of branches and tags.
        notes: What could not be read, and why.
    """

    name: str
    default_branch: str
    workflows: tuple[WorkflowFinding, ...] = ()
    required_checks: tuple[str, ...] | None = None
    caches: tuple[ActionsCache, ...] | None = None
    secrets: tuple[str, ...] | None = None
    codeowners: str = ""
    refs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
