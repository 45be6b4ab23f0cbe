"""Contradictions: policies whose every key is well-formed and which still cannot mean what they say."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from runbook.policy.approvals import PrefectResume, resolve_rule
from runbook.policy.estate import GitOps, RotatedBy
from runbook.policy.model import Policy
from runbook.policy.operations import Remedy
from runbook.policy.people import COMMIT_AUTHOR
from runbook.policy.procedures import LOW_RISK, PROCEDURES
from runbook.triage.classes import FailureClass


class Problem(NamedTuple):
    """What is wrong with a policy, and at which key (dotted path)."""

    key: str
    reason: str


def contradictions(policy: Policy) -> list[Problem]:
    """Return every contradiction in ``policy``, in the order of its sections; empty where it is sound."""
    return [problem for check in _CHECKS for problem in check(policy)]


def _duplicates(key: str, names: Iterable[str], *, field: str = "name") -> Iterator[Problem]:
    """Refuse a second entry of the same name; GitHub and Kubernetes ignore case or forbid capitals."""
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        first = seen.setdefault(name.casefold(), position)
        if first != position:
            yield Problem(f"{key}[{position}].{field}", f"{name!r} is already named by {key}[{first}]")


def _check_repositories(policy: Policy) -> Iterator[Problem]:
    yield from _duplicates("repositories", (repository.name for repository in policy.repositories))
    for position, repository in enumerate(policy.repositories):
        key = f"repositories[{position}].workflows"
        yield from _duplicates(key, (workflow.file for workflow in repository.workflows), field="file")
        for index, workflow in enumerate(repository.workflows):
            baseline, timeout = workflow.baseline_minutes, workflow.timeout_minutes
            if baseline is not None and timeout is not None and baseline >= timeout:
                reason = (
                    f"the usual duration ({baseline:g}) is not shorter than timeout_minutes ({timeout:g})"
                )
                yield Problem(f"{key}[{index}].baseline_minutes", reason)


def _check_approvers(policy: Policy) -> Iterator[Problem]:
    lists = [("approvals.approvers", policy.approvals.approvers)]
    for position, override in enumerate(policy.approvals.overrides):
        lists.append((f"approvals.overrides[{position}].approvers", override.approvers or ()))
    for key, approvers in lists:
        folded = [login.casefold() for login in approvers]
        if len(set(folded)) != len(folded):
            yield Problem(key, "a login is named twice; approvals count distinct people")
        if policy.product_login is not None and policy.product_login.casefold() in folded:
            reason = (
                f"{policy.product_login!r} is product_login, and the product never approves its own plans"
            )
            yield Problem(key, reason)


def _check_quorums(policy: Policy) -> Iterator[Problem]:
    """Every rule that can come about must be one that its approvers can fulfil."""
    approvals = policy.approvals
    if approvals.quorum > len(approvals.approvers):
        reason = f"{approvals.quorum} must approve, but approvers names {len(approvals.approvers)}"
        yield Problem("approvals.quorum", reason)
        return  # each override would only repeat it
    for position, override in enumerate(approvals.overrides):
        named = [override.procedure] if override.procedure else PROCEDURES
        where = (
            [override.repository] if override.repository else [entry.name for entry in policy.repositories]
        )
        for procedure, repository in ((p, r) for p in named for r in where):
            rule = resolve_rule(approvals, procedure=procedure, repository=repository)
            if rule.quorum > len(rule.approvers):
                reason = (
                    f"{rule.quorum} must approve {procedure} in {repository}, but {len(rule.approvers)} may"
                )
                yield Problem(f"approvals.overrides[{position}]", reason)
                break
            if rule.prefect_resume_counts and rule.quorum != 1:
                reason = (
                    f"a resume in Prefect names nobody, so it cannot be one of {rule.quorum} distinct people "
                    f"({procedure} in {repository})"
                )
                yield Problem(f"approvals.overrides[{position}].prefect_resume", reason)
                break


def _check_overrides(policy: Policy) -> Iterator[Problem]:
    seen: dict[tuple[str | None, str | None], int] = {}
    for position, override in enumerate(policy.approvals.overrides):
        key = f"approvals.overrides[{position}]"
        if override.procedure is None and override.repository is None:
            yield Problem(key, "names neither a procedure nor a repository; put it into [approvals] itself")
        subject = (override.procedure, override.repository and override.repository.casefold())
        first = seen.setdefault(subject, position)
        if first != position:
            yield Problem(key, f"approvals.overrides[{first}] is about the same procedure and repository")
        if override.prefect_resume is PrefectResume.COUNTS and override.procedure not in LOW_RISK:
            low = ", ".join(sorted(LOW_RISK))
            reason = f"only a named low-risk procedure may be approved by a resume that names nobody: {low}"
            yield Problem(f"{key}.prefect_resume", reason)


def _check_expiry(policy: Policy) -> Iterator[Problem]:
    """Prefect's own time-out runs no flow code, so the ledger's expiry must come first."""
    limit = policy.timings.suspend_timeout_seconds
    expiries = [("approvals.expires_after_seconds", policy.approvals.expires_after_seconds)]
    for position, override in enumerate(policy.approvals.overrides):
        if override.expires_after_seconds is not None:
            key = f"approvals.overrides[{position}].expires_after_seconds"
            expiries.append((key, override.expires_after_seconds))
    for key, seconds in expiries:
        if seconds >= limit:
            yield Problem(key, f"{seconds:g} is not below timings.suspend_timeout_seconds ({limit:g})")


def _check_names(policy: Policy) -> Iterator[Problem]:
    """Procedures and repositories that other sections mention must exist."""
    repositories = {repository.name.casefold() for repository in policy.repositories}
    procedures: list[tuple[str, str | None]] = []
    mentioned: list[tuple[str, str | None]] = []
    for position, override in enumerate(policy.approvals.overrides):
        procedures.append((f"approvals.overrides[{position}].procedure", override.procedure))
        mentioned.append((f"approvals.overrides[{position}].repository", override.repository))
    for position, run in enumerate(policy.scheduled):
        procedures.append((f"scheduled[{position}].procedure", run.procedure))
        mentioned.append(
            (f"scheduled[{position}].request.repository", str(run.request.get("repository", "")))
        )
    for position, window in enumerate(policy.freeze_windows):
        procedures += [(f"freeze_windows[{position}].procedures", name) for name in window.procedures]
        mentioned += [(f"freeze_windows[{position}].repositories", name) for name in window.repositories]
    mentioned += [(f"services[{i}].repository", entry.repository) for i, entry in enumerate(policy.services)]
    mentioned += [(f"secrets[{i}].repository", entry.repository) for i, entry in enumerate(policy.secrets)]
    for key, procedure in procedures:
        if procedure is not None and procedure not in PROCEDURES:
            yield Problem(key, f"no such procedure; procedures are: {', '.join(PROCEDURES)}")
    for key, repository in mentioned:
        if repository is not None and repository.casefold() not in repositories:
            yield Problem(key, "names no repository of [[repositories]]")


def _check_scheduled(policy: Policy) -> Iterator[Problem]:
    yield from _duplicates("scheduled", (run.name for run in policy.scheduled))
    for position, run in enumerate(policy.scheduled):
        if run.request.get("mode") != "apply":
            yield Problem(
                f"scheduled[{position}].request.mode", 'must be "apply": a plan alone needs no entry here'
            )
        cap = policy.caps.effects_per_plan
        if run.max_effects > cap:
            reason = f"{run.max_effects} is above caps.effects_per_plan ({cap})"
            yield Problem(f"scheduled[{position}].max_effects", reason)
        where = str(run.request.get("repository", ""))
        may = len(resolve_rule(policy.approvals, procedure=run.procedure, repository=where).approvers)
        if run.quorum > may:
            reason = f"{run.quorum} must approve, but {may} may approve {run.procedure} in {where}"
            yield Problem(f"scheduled[{position}].quorum", reason)


def _check_remedies(policy: Policy) -> Iterator[Problem]:
    for failure_class, remedy in policy.remedies.items():
        key = f"remedies.{failure_class}"
        if failure_class is FailureClass.PASSING:
            yield Problem(key, "a passing log needs no remedy")
        if len(set(remedy.propose)) != len(remedy.propose):
            yield Problem(f"{key}.propose", "names a remedy twice")
        waits = Remedy.WAIT_FOR_RATE_LIMIT_RESET in remedy.propose
        if waits and failure_class is not FailureClass.RATE_LIMIT:
            yield Problem(f"{key}.propose", "wait_for_rate_limit_reset is for rate_limit only")
        if remedy.automatic:
            yield from _check_automatic(policy, failure_class, f"{key}.automatic")


def _check_automatic(policy: Policy, failure_class: FailureClass, key: str) -> Iterator[Problem]:
    if failure_class is FailureClass.UNKNOWN:
        yield Problem(key, "nobody knows what would help: an unknown failure needs a person")
    if Remedy.RERUN_FAILED_JOBS not in policy.remedies[failure_class].propose:
        yield Problem(key, "without rerun_failed_jobs nothing would show whether the remedy helped")
    if policy.kill_switch is None:
        yield Problem(key, "needs [kill_switch]: somebody must be able to stop what acts without a person")


def _check_kill_switch(policy: Policy) -> Iterator[Problem]:
    if policy.kill_switch is None:
        return
    known = {
        name.casefold() for entry in policy.repositories for name in (entry.name, entry.incidents_repository)
    }
    if policy.kill_switch.repository.casefold() not in known:
        yield Problem(
            "kill_switch.repository", "names neither a repository of [[repositories]] nor one of incidents"
        )


def _check_timings(policy: Policy) -> Iterator[Problem]:
    timings = policy.timings
    if timings.watch_poll_seconds * 2 > timings.lease_seconds:
        # Each look at a watched run renews the lease.
        reason = f"one missed look would lose the lease; at most half of {timings.lease_seconds:g} s"
        yield Problem("timings.watch_poll_seconds", reason)
    for short, long in (
        ("probe_interval_seconds", "settle_seconds"),
        ("watch_poll_seconds", "watch_timeout_seconds"),
    ):
        if getattr(timings, short) >= getattr(timings, long):
            yield Problem(f"timings.{short}", f"is not below timings.{long} ({getattr(timings, long):g})")


def _check_people(policy: Policy) -> Iterator[Problem]:
    for name, contact in policy.contacts.items():
        if not (contact.github or contact.slack or contact.email):
            yield Problem(f"contacts.{name}", "has no github, slack or email: nobody could be reached")
        if name == COMMIT_AUTHOR:
            yield Problem(f"contacts.{name}", "this name stands for the author of the failing commit")
    for position, step in enumerate(policy.escalation):
        if step.contact != COMMIT_AUTHOR and step.contact not in policy.contacts:
            yield Problem(f"escalation[{position}].contact", f"{step.contact!r} is not in [contacts]")
    for position, (earlier, later) in enumerate(pairwise(policy.escalation), start=1):
        if later.after_minutes <= earlier.after_minutes:
            reason = f"{later.after_minutes} does not come after {earlier.after_minutes}, the step before it"
            yield Problem(f"escalation[{position}].after_minutes", reason)


def _check_slo(policy: Policy) -> Iterator[Problem]:
    for key in ("success_rate", "cache_hit_rate"):
        rate = getattr(policy.slo, key)
        if rate.alert_below_percent > rate.target_percent:
            reason = f"would alert while the target ({rate.target_percent:g} %) is met"
            yield Problem(f"slo.{key}.alert_below_percent", reason)
    cves = policy.slo.critical_cves
    if cves.alert_from <= cves.target:
        yield Problem("slo.critical_cves.alert_from", f"would alert while the target ({cves.target}) is met")


def _check_services(policy: Policy) -> Iterator[Problem]:
    names = {service.name for service in policy.services}
    yield from _duplicates("services", (f"{s.namespace}/{s.name}" for s in policy.services))
    for position, service in enumerate(policy.services):
        for other in service.moves_with:
            if other == service.name or other not in names:
                reason = f"{other!r} is not another service of [[services]]"
                yield Problem(f"services[{position}].moves_with", reason)
        for index, threshold in enumerate(service.metrics):
            if threshold.at_most is None and threshold.at_least is None:
                yield Problem(f"services[{position}].metrics[{index}]", "says neither at_most nor at_least")


def _check_image_rollback(policy: Policy) -> Iterator[Problem]:
    rules = policy.image_rollback
    if rules.gitops is GitOps.PAUSE and rules.gitops_pause_minutes < rules.revert_within_minutes:
        reason = (
            f"the sync would bring the bad version back while its revert need not be merged for another "
            f"{rules.revert_within_minutes - rules.gitops_pause_minutes:g} minutes (revert_within_minutes)"
        )
        yield Problem("image_rollback.gitops_pause_minutes", reason)


def _check_secrets(policy: Policy) -> Iterator[Problem]:
    yield from _duplicates("secrets", (f"{s.repository} {s.name}" for s in policy.secrets))
    for position, secret in enumerate(policy.secrets):
        key = f"secrets[{position}].every_months"
        if secret.rotated_by is RotatedBy.GITHUB and (secret.every_months or secret.also_on):
            yield Problem(key, "GitHub rotates it; a schedule of ours would do nothing")
        if secret.rotated_by is RotatedBy.RUNBOOK and secret.every_months is None:
            yield Problem(key, 'missing; or say rotated_by = "github"')


def _check_known_issues(policy: Policy) -> Iterator[Problem]:
    yield from _duplicates("known_issues", (issue.id for issue in policy.known_issues), field="id")
    yield from _duplicates("cache_keys", (entry.family for entry in policy.cache_keys), field="family")
    for position, issue in enumerate(policy.known_issues):
        key = f"known_issues[{position}]"
        try:
            pattern = re.compile(issue.pattern)
        except re.error as error:
            yield Problem(f"{key}.pattern", f"is not a regular expression: {error}")
            continue
        for field, lines, wanted in (
            ("examples", issue.examples, True),
            ("near_misses", issue.near_misses, False),
        ):
            for index, line in enumerate(lines):
                if (pattern.search(line) is not None) is not wanted:
                    verdict = "is not matched" if wanted else "is matched"
                    yield Problem(f"{key}.{field}[{index}]", f"{verdict} by the pattern")


def _check_freezes(policy: Policy) -> Iterator[Problem]:
    for position, window in enumerate(policy.freeze_windows):
        if window.end <= window.start:
            yield Problem(f"freeze_windows[{position}].end", "does not come after start")


_CHECKS: tuple[Callable[[Policy], Iterator[Problem]], ...] = (
    _check_repositories,
    _check_approvers,
    _check_overrides,
    _check_quorums,
    _check_expiry,
    _check_names,
    _check_scheduled,
    _check_remedies,
    _check_kill_switch,
    _check_timings,
    _check_people,
    _check_slo,
    _check_services,
    _check_image_rollback,
    _check_secrets,
    _check_known_issues,
    _check_freezes,
)
