"""What reports add to what the logs say: a class where the logs name none, never another one. Pure."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from runbook.artifacts.findings import FindingLevel, Findings, Vulnerability, VulnerabilitySeverity
from runbook.triage import wording
from runbook.triage.classes import FailureClass
from runbook.triage.classify import ANNOUNCED_FROM, MAX_EVIDENCE, Classification, EvidenceLine
from runbook.triage.intents import intents_of

SUPPORT = 0.5
"""How much of what the logs' own class lacks to certainty a report of the same adds."""

_IN_ITS_STEP = 0.85
_WITHOUT_STEP = 0.7
_IN_ANOTHER_STEP = 0.55
_NAMED = 3
_BAD = (VulnerabilitySeverity.CRITICAL, VulnerabilitySeverity.HIGH)


@dataclass(frozen=True)
class Support:
    """What the reports speak for.

    Args:
        failure_class: The class.
        weight: How surely, 0 to 1.
        sentence: What they name, as a sentence.
        identities: What makes this failure the same in another run.
        evidence: Where they say it.
    """

    failure_class: FailureClass
    weight: float
    sentence: str
    identities: tuple[str, ...]
    evidence: tuple[EvidenceLine, ...] = ()


def with_findings(
    found: Classification, findings: Findings, *, failing_steps: Iterable[str]
) -> Classification:
    """Return what failed by the logs and by the reports together.

    A class that the logs name stays, and so does its fingerprint. Where they name none, the reports' own is
    announced, and what they name is the fingerprint: the same tests failing again are the same incident.

    Args:
        found: What the logs say.
        findings: What the reports say.
        failing_steps: Names of the steps that failed: a scan's report speaks for a failed scan only.
    """
    intents = frozenset(kind for step in failing_steps for kind in intents_of(step))
    known = found.failure_class is not FailureClass.UNKNOWN
    for support in supports(findings, intents):
        if support.failure_class is found.failure_class:
            return _supported(found, support)
        if not known and support.weight >= ANNOUNCED_FROM:
            return _announced(found, support)
    return found


def supports(findings: Findings, intents: Collection[FailureClass]) -> tuple[Support, ...]:
    """Return what the reports speak for, the surest first.

    Args:
        findings: What they say.
        intents: What the failed steps are there to find; empty where nothing is known of them.
    """
    told = [one for one in (_tests(findings), _security(findings), _lint(findings)) if one is not None]
    sure = [_weighed(one, intents) for one in told]
    return tuple(sorted(sure, key=lambda one: -one.weight))


def _weighed(support: Support, intents: Collection[FailureClass]) -> Support:
    if support.failure_class in intents:
        weight = _IN_ITS_STEP
    elif not intents:
        weight = support.weight
    else:
        # A failed test fails most runs, whatever its step is called; scanners report much that fails nothing.
        weight = _IN_ANOTHER_STEP if support.failure_class is FailureClass.TEST_FAILURE else 0.0
    return Support(support.failure_class, weight, support.sentence, support.identities, support.evidence)


def _tests(findings: Findings) -> Support | None:
    tests = findings.failed_tests
    if not tests:
        return None
    names = [test.identity for test in tests]
    return Support(
        FailureClass.TEST_FAILURE,
        _WITHOUT_STEP,
        f"Failed tests: {_listed(names, len(names) + findings.left_out)}.",
        tuple(sorted(names)),
        tuple(
            EvidenceLine(
                file=test.report,
                line=test.report_line,
                text=f"{test.identity}: {test.message}" if test.message else test.identity,
            )
            for test in tests[:MAX_EVIDENCE]
        ),
    )


def _security(findings: Findings) -> Support | None:
    holes = findings.vulnerabilities
    code = tuple(one for one in findings.code_findings if one.security)
    if not holes and not code:
        return None
    bad = any(one.severity in _BAD for one in holes) or any(one.level is FindingLevel.ERROR for one in code)
    names = [*map(_hole, holes), *(f"{one.rule} in {one.file or 'no file'}" for one in code)]
    identities = {f"{one.id} {one.package}" for one in holes} | {f"{one.rule} {one.file}" for one in code}
    return Support(
        FailureClass.SECURITY_SCAN,
        ANNOUNCED_FROM if bad else 0.0,
        f"Scanners name: {_listed(names, len(names))}.",
        tuple(sorted(identities)),
    )


def _lint(findings: Findings) -> Support | None:
    code = tuple(
        one for one in findings.code_findings if not one.security and one.level is FindingLevel.ERROR
    )
    if not code:
        return None
    names = [f"{one.rule} in {one.file or 'no file'}" for one in code]
    return Support(
        FailureClass.LINT_OR_FORMAT,
        0.0,
        f"Checks name: {_listed(names, len(names))}.",
        tuple(sorted(set(names))),
    )


def _hole(one: Vulnerability) -> str:
    fix = f", fixed in {one.fixed}" if one.fixed else ", no fix known"
    severity = "" if one.severity is VulnerabilitySeverity.UNKNOWN else f"{one.severity}, "
    return f"{one.id} in {one.package} {one.installed} ({severity}{fix.removeprefix(', ')})"


def _listed(names: Sequence[str], count: int) -> str:
    more = f" and {count - _NAMED} more" if count > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _supported(found: Classification, support: Support) -> Classification:
    sure = 1 - (1 - found.confidence) * (1 - SUPPORT * support.weight)
    return found.model_copy(
        update={
            "confidence": round(min(sure, 0.99), 2),
            "summary": _sentences(found.summary, support.sentence),
        }
    )


def _announced(found: Classification, support: Support) -> Classification:
    step = f" in step {found.failing_step!r}" if found.failing_step else ""
    return found.model_copy(
        update={
            "failure_class": support.failure_class,
            "confidence": support.weight,
            "first_cause": support.evidence[0] if support.evidence else None,
            "evidence": support.evidence or found.evidence,
            "summary": _sentences(
                f"{wording.WHAT[support.failure_class]}{step}, by the run's reports", support.sentence
            ),
            "proposal": wording.PROPOSAL[support.failure_class],
            "fingerprint": _fingerprint(support),
        }
    )


def _sentences(first: str, second: str) -> str:
    return f"{first}{'' if first.endswith(('.', '!', '?')) else '.'} {second}"


def _fingerprint(support: Support) -> str:
    # Nothing is masked: unlike a log's line, a test's name holds no time and no path of the machine.
    text = "\n".join((support.failure_class, "by report", *support.identities))
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
