"""Reads of the product's own issues."""

from runbook.errors import NotFound
from runbook.installation import installation
from tasks.retrying import system_task


@system_task("read issue", run_name="look whether {repository}#{number} is open")
def is_open_issue(repository: str, number: int) -> bool:
    """Tell whether an issue is open; one that was deleted is not.

    Args:
        repository: owner/name.
        number: The issue.
    """
    try:
        return installation().github.get_issue(repository, number).state == "open"
    except NotFound:
        return False
