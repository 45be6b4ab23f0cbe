"""What is known of a drill, from its first moment on: a drill that goes wrong is reported like one that does not."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Approval:
    """One approval that was given, and how many seconds after the drill's question it was."""

    login: str
    after_seconds: float


@dataclass(frozen=True)
class EffectSeen:
    """One effect of the plan as the journal has it at the end."""

    what: str
    state: str
    note: str


@dataclass
class Record:
    """What a drill's report is made of.

    Args:
        procedure: What was rehearsed.
        repository: Where.
        started_at: When, UTC.
        product_version: The product's version.
        policy_file: The policy's file.
        policy_digest: Its digest.
        broken: What was wrong in the scenario.
        wait: The waits of the policy that it was subject to.
        requester: Who asked.
        approvers: Who may approve.
        needed: How many of them must.
        approvals: Who did.
        stages: Each stage's name and seconds.
        plan_digest: The plan's digest; empty where none was made.
        plan_markdown: The plan as people were shown it.
        issue_url: Where.
        effects: What became of its effects.
        state: How the run ended, in Prefect's words; empty where it did not.
        reason: Why.
        checks: What was looked at in the outside world at the end, and whether it held.
        asked_to_planned_seconds: From asking to the plan that waits.
        verified_seconds: From asking, which is when the failure was noticed, to verified; None where it was not.
        wrong: What did not go as it should.
    """

    procedure: str
    repository: str
    started_at: datetime
    product_version: str
    policy_file: str
    policy_digest: str
    broken: str
    wait: str
    requester: str
    approvers: tuple[str, ...]
    needed: int
    approvals: list[Approval] = field(default_factory=list)
    stages: list[dict[str, Any]] = field(default_factory=list)
    plan_digest: str = ""
    plan_markdown: str = ""
    issue_url: str = ""
    effects: list[EffectSeen] = field(default_factory=list)
    state: str = ""
    reason: str = ""
    checks: dict[str, bool] = field(default_factory=dict)
    asked_to_planned_seconds: float | None = None
    verified_seconds: float | None = None
    wrong: list[str] = field(default_factory=list)

    @property
    def verified(self) -> bool:
        """Whether it ended as it must: verified by the product, and found so by the drill's own look."""
        return self.state == VERIFIED and not self.wrong


VERIFIED = "Verified"
"""The name of the only state that says so (R5)."""
