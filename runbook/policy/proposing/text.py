"""A proposed policy as TOML with its reasons as comments: a pure function, made so that no name can break out."""

import json
from collections.abc import Iterator, Sequence

from runbook.policy.estate import Secret
from runbook.policy.proposing.guesses import Proposal, Remarks
from runbook.policy.repositories import RepositoryPolicy, WorkflowPolicy
from runbook.scrub import neutralise_terminal, scrub

_LONGEST_COMMENT = 400
_HEADER = """\
# The policy of this installation, proposed by `runbook init` from what the repository is.
#
# Go through the lines marked CHANGE; the rest was guessed, with the reason beside it. `docs/policy.md` lists every key
# with its unit and default. No secret belongs here, only the names of secrets. Then: runbook doctor.
"""
_TAIL = """\
# Anyone may put the label on this issue and so stop whatever acts without a person. CHANGE: name an issue.
# [kill_switch]
# repository = "owner/name"
# issue = 1
# label = "runbook-stop"
"""


def policy_text(proposal: Proposal) -> str:
    """Return a policy file that loads to exactly ``proposal.policy``.

    Args:
        proposal: The policy with its reasons.
    """
    policy = proposal.policy
    lines = [_HEADER]
    lines += _account(proposal)
    for repository in policy.repositories:
        lines += ["", *_repository(repository, proposal.remarks[repository.name])]
    lines += [
        "",
        "[approvals]",
        f"approvers = {_strings(policy.approvals.approvers)}  {comment(proposal.approvers)}",
    ]
    lines += ["quorum = 1  # how many different people must say yes", ""]
    lines.append("# Each plan waits for its approvers; what is not listed is only reported.")
    for failure_class, remedy in policy.remedies.items():
        lines += [f"[remedies.{failure_class}]", f"propose = {_strings(remedy.propose)}", ""]
    for secret in policy.secrets:
        lines += [*_secret(secret), ""]
    return "\n".join([*lines, _TAIL])


def quoted(text: str) -> str:
    """Return a TOML string: what JSON escapes, TOML understands, and DEL it wants escaped as well."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def comment(text: str) -> str:
    """Return a comment on one line, whatever the text holds."""
    words = " ".join(neutralise_terminal(scrub(text)).split())
    printable = "".join(letter if letter.isprintable() else "?" for letter in words)
    short = printable if len(printable) <= _LONGEST_COMMENT else printable[: _LONGEST_COMMENT - 1] + "…"
    return f"# {short}"


def _account(proposal: Proposal) -> Iterator[str]:
    policy = proposal.policy
    if policy.product_login is not None:
        yield f"product_login = {quoted(policy.product_login)}  {comment(proposal.account)}"
    else:
        yield comment(proposal.account)
        yield '# product_login = "runbook-bot"'
    if policy.on_call is not None:
        yield f"on_call = {quoted(policy.on_call)}  {comment(proposal.on_call)}"
    else:
        yield '# on_call = "@alice"  # CHANGE: mentioned in each incident; a team works too: "@acme/on-call"'


def _repository(repository: RepositoryPolicy, remarks: Remarks) -> Iterator[str]:
    yield "[[repositories]]"
    yield f"name = {quoted(repository.name)}"
    yield f"default_branch = {quoted(repository.default_branch)}"
    if repository.release_refs:
        yield f"release_refs = {_strings(repository.release_refs)}  # branches and tags like these exist"
    else:
        yield '# release_refs = ["release/*", "v*"]  # CHANGE: globs of the refs that releases are cut from'
    yield '# incidents_repository = "owner/incidents"  # CHANGE where incidents shall be opened elsewhere'
    for remark in remarks.repository:
        yield comment(remark)
    for workflow in repository.workflows:
        yield ""
        yield from _workflow(workflow, remarks.workflows[workflow.file])


def _workflow(workflow: WorkflowPolicy, why: str) -> Iterator[str]:
    yield "[[repositories.workflows]]"
    yield comment(why)
    yield f"file = {quoted(workflow.file)}"
    yield f"kind = {quoted(workflow.kind)}"
    yield f"required = {'true' if workflow.required else 'false'}"
    if workflow.baseline_minutes is not None:
        yield f"baseline_minutes = {workflow.baseline_minutes!r}"


def _secret(secret: Secret) -> Iterator[str]:
    yield "[[secrets]]"
    yield f"name = {quoted(secret.name)}"
    yield f"repository = {quoted(secret.repository)}"
    yield f"every_months = {secret.every_months}  # CHANGE: how often it is to be rotated"


def _strings(values: Sequence[str]) -> str:
    return f"[{', '.join(map(quoted, values))}]"
