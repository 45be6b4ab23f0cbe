"""The pull request that takes a bad version's source back, read and proposed."""

from runbook.decisions.source_revert import NoRevert
from runbook.engine.effects import Effect
from runbook.errors import Denied, Permanent
from runbook.installation import installation
from runbook.source_revert import propose_revert
from tasks.retrying import system_task


@system_task("read revert", run_name="read what takes {commit} back")
def read_revert(
    repository: str, commit: str, *, branch: str, execution_id: str, why: str, incident_url: str
) -> tuple[Effect, ...] | str:
    """Return the effects that take a commit back by a pull request, or why none is offered.

    Args:
        repository: owner/name.
        commit: The commit, in full or shortened.
        branch: The branch that is to lose it.
        execution_id: Whose plan it is.
        why: Why, in plain words.
        incident_url: The incident's issue; empty where there is none.

    Raises:
        Transient: GitHub does not answer.
    """
    try:
        proposed = propose_revert(
            installation().github,
            repository,
            commit,
            base_branch=branch,
            execution_id=execution_id,
            why=why,
            incident_url=incident_url,
        )
    except (Permanent, Denied) as error:
        return error.message
    return proposed.reason if isinstance(proposed, NoRevert) else proposed
