"""Ending an exception before its time, as a person: GitHub says who they are, the policy whether they may."""

from contextlib import suppress

from deployments.cli.approving import with_a_reader
from runbook.clients.github_client import GitHubClient
from runbook.decisions.exceptions import EndingRefused, ExceptionState, refuse_ending
from runbook.engine.exception_rows import StandingException
from runbook.engine.exceptions import Exceptions
from runbook.errors import Denied, UsageError
from runbook.installation import Installation


def end_as_person(here: Installation, exception_id: int, *, reason: str) -> StandingException:
    """End an exception without undoing anything.

    Args:
        here: The installation; its approver's token decides who it is that ends it.
        exception_id: The exception.
        reason: Why it is over.

    Returns:
        The exception as it stands now; one that had ended, as it had.

    Raises:
        UsageError: There is none of that number, no reason, or no token.
        Denied: They may not.
        Conflict: Its undo is under way.
        Transient: GitHub does not answer; nothing was changed.
    """
    if not reason.strip():
        raise UsageError(
            "No reason was given.", unchanged="Nothing was changed.", next_step="say why it is over"
        )
    exceptions = Exceptions(here.ledger, clock=here.clock)
    login = _require_entitled(here, exceptions.get(exception_id))
    return exceptions.end(exception_id, ExceptionState.ENDED, f"{login}: {_line(reason)}", by=login)


def restore_as_person(here: Installation, exception_id: int, *, reason: str) -> StandingException:
    """Undo at once what an exception left.

    Args:
        here: The installation; its own credentials undo it, its approver's token decides who wants it.
        exception_id: The exception.
        reason: Why now; may be empty.

    Returns:
        The exception as it stands now: restored, or with a person who is needed.

    Raises:
        UsageError: There is none of that number, nothing to restore, or no token.
        Denied: They may not.
        Conflict: It is over, or its plan is still being applied.
        Transient: Not now; the sweeper goes on with what was begun.
    """
    login = _require_entitled(here, Exceptions(here.ledger, clock=here.clock).get(exception_id))
    said = f"{login}: {_line(reason) or 'restored before its deadline'}"
    return here.engine.restore(exception_id, by=login, reason=said, wait=True)


def _require_entitled(here: Installation, exception: StandingException) -> str:
    """Return who the person is.

    Raises:
        Denied: They could not approve the procedure that left it.
    """
    token = here.settings.require_approver_token()
    here = with_a_reader(here, token)
    rule = here.policy.approval_rule(exception.procedure, exception.repository)
    with GitHubClient(token=token, api_url=here.settings.github_api_url, clock=here.clock) as github:
        person = github.token_facts()
    permission = here.github.permission_of(exception.repository, person.login)
    refused = refuse_ending(person, rule=rule, permission=permission, product_logins=_product_logins(here))
    if refused is not None:
        raise Denied(
            f"{person.login} may not end exception {exception.id}: {refused}.",
            unchanged="Nothing was changed.",
            next_step=_advice(refused, rule.approvers, person.login),
        )
    return person.login


def _product_logins(here: Installation) -> frozenset[str]:
    """Return the accounts the product acts as: what the policy says, and whose token it really has."""
    logins = {here.product_login.casefold()}
    if not here.borrowed_token:
        with suppress(Denied):  # an app's token is nobody's
            logins.add(here.github.whoami().casefold())
    return frozenset(logins)


def _advice(refused: EndingRefused, approvers: tuple[str, ...], login: str) -> str:
    if refused in {EndingRefused.BY_PRODUCT, EndingRefused.BY_APP}:
        return "set RUNBOOK_APPROVER_TOKEN to your own token."
    others = ", ".join(name for name in approvers if name.casefold() != login.casefold())
    return f"ask {others or 'an approver in the policy'} to do it."


def _line(reason: str) -> str:
    return " ".join(reason.split())
