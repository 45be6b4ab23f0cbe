"""The answer of ``runbook why`` as one value, whatever it was read from."""

from typing import Any

from runbook.models import Frozen
from runbook.policy import Severity
from runbook.triage.classes import FailureClass
from runbook.triage.classify import Classification, EvidenceLine


class Answer(Frozen):
    """Why a run failed, as far as it can be told.

    Args:
        failure_class: What kind of failure it is.
        confidence: How sure that is, 0 to 1.
        first_cause: The line that everything else follows from.
        evidence: The lines it rests on.
        summary: What happened, in a sentence.
        proposal: What to do, in a sentence.
        severity: How urgent it is; None where that cannot be told.
        severity_reason: The rule, or why there is none.
        look_further: Commands that show more.
        notes: What could not be read.
    """

    failure_class: FailureClass
    confidence: float
    first_cause: EvidenceLine | None = None
    evidence: tuple[EvidenceLine, ...] = ()
    summary: str
    proposal: str
    severity: Severity | None = None
    severity_reason: str = ""
    look_further: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, found: Classification) -> "Answer":
        """Take over what the logs say."""
        return cls(
            failure_class=found.failure_class,
            confidence=found.confidence,
            first_cause=found.first_cause,
            evidence=found.evidence,
            summary=found.summary,
            proposal=found.proposal,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the settled shape of ``runbook why --json``: exactly these keys."""
        return {
            "class": self.failure_class.value,
            "confidence": self.confidence,
            "severity": self.severity.value if self.severity else None,
            "first_cause": self.first_cause.model_dump() if self.first_cause else None,
            "evidence": [one.model_dump() for one in self.evidence],
            "summary": self.summary,
            "proposal": self.proposal,
        }
