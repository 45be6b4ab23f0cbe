"""Which revision is the last known good one, by the policy's rules (RB-01, RB-03)."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from runbook.decisions.image_reference import same_image
from runbook.decisions.time_served import TimeServed, duration
from runbook.models import Frozen
from runbook.policy.estate import GoodSign, ImageRollback
from runbook.workloads import Revision, Template, Workload


class Sign(Frozen):
    """One thing that may speak for a revision.

    Args:
        holds: Whether it does; None where nobody could tell.
        detail: What was found, or why nobody could tell.
    """

    holds: bool | None = None
    detail: str = "not looked at"


class Candidate(Frozen):
    """A revision that one might go back to, with what is known of it.

    Args:
        revision: Which.
        served: How long it was the current one.
        green_run: Whether its commit is green on the default branch.
        deployed: Whether GitHub has a successful deployment of its commit.
        in_registry: Whether the registry still has its image.
        digests: Digests that its images' tags have in the registry, as far as they were looked up.
        barred: Why its image is barred; empty where it is not.
        rolled_back_at: When it was itself rolled back, as our journal has it; None where it was not.
    """

    revision: Revision
    served: TimeServed
    green_run: Sign = Sign()
    deployed: Sign = Sign()
    in_registry: Sign = Sign()
    digests: tuple[str, ...] = ()
    barred: str = ""
    rolled_back_at: datetime | None = None

    def sign(self, which: GoodSign) -> Sign:
        """Return what is known of one of the policy's signs."""
        return {
            GoodSign.GREEN_RUN: self.green_run,
            GoodSign.DEPLOYED: self.deployed,
            GoodSign.IN_REGISTRY: self.in_registry,
        }[which]


class NotGood(StrEnum):
    """Why a revision is not taken for a good one."""

    CURRENT = "it is the current one"
    SAME_IMAGES = "it has the images that run now"
    BARRED = "its image is barred"
    ROLLED_BACK_BEFORE = "it was itself rolled back before"
    SERVED_TOO_SHORTLY = "it was not in service for long enough"
    SERVICE_UNKNOWN = "nobody can tell how long it was in service"
    SIGN_MISSING = "a sign that the policy asks for speaks against it"
    SIGN_UNKNOWN = "a sign that the policy asks for is not known"


class Rejected(Frozen):
    """A revision that was not taken, and why."""

    revision: Revision
    why: NotGood
    detail: str


class GoodChoice(Frozen):
    """The last known good revision, why it is taken, and why none newer is."""

    revision: Revision
    reason: str
    rejected: tuple[Rejected, ...]


class NoneGood(Frozen):
    """No revision is good, with the reason for each."""

    reason: str
    rejected: tuple[Rejected, ...]


def last_known_good(
    candidates: Sequence[Candidate], rules: ImageRollback, *, current: Revision
) -> GoodChoice | NoneGood:
    """Choose the newest revision that the policy calls good.

    Args:
        candidates: The revisions that are kept, in any order.
        rules: What good means.
        current: What runs now.
    """
    rejected: list[Rejected] = []
    for candidate in sorted(candidates, key=lambda one: -one.revision.number):
        refusal = _why_not(candidate, rules, current)
        if refusal is None:
            return GoodChoice(
                revision=candidate.revision, reason=_why(candidate, rules), rejected=tuple(rejected)
            )
        if refusal[0] is not NotGood.CURRENT:
            why, detail = refusal
            rejected.append(Rejected(revision=candidate.revision, why=why, detail=detail))
    reason = (
        "none of the revisions that are kept is good"
        if rejected
        else "no revision but the current one is kept"
    )
    return NoneGood(reason=reason, rejected=tuple(rejected))


def _why_not(candidate: Candidate, rules: ImageRollback, current: Revision) -> tuple[NotGood, str] | None:
    if candidate.revision.name == current.name:
        return NotGood.CURRENT, ""
    if same_images(candidate.revision.template, current.template):
        return NotGood.SAME_IMAGES, "another configuration of the same images is no cure for an image"
    if candidate.barred:
        return NotGood.BARRED, candidate.barred
    if candidate.rolled_back_at is not None:
        return NotGood.ROLLED_BACK_BEFORE, f"at {candidate.rolled_back_at:%Y-%m-%d %H:%M} UTC"
    least = rules.good_after_minutes * 60
    if candidate.served.seconds is None:
        return NotGood.SERVICE_UNKNOWN, candidate.served.detail
    if candidate.served.seconds < least:
        detail = f"{duration(candidate.served.seconds)}, the policy asks for {duration(least)}"
        return NotGood.SERVED_TOO_SHORTLY, detail
    for which in rules.good_signs:
        sign = candidate.sign(which)
        if sign.holds is None:
            return NotGood.SIGN_UNKNOWN, f"{which}: {sign.detail}"
        if not sign.holds:
            return NotGood.SIGN_MISSING, f"{which}: {sign.detail}"
    return None


def _why(candidate: Candidate, rules: ImageRollback) -> str:
    served = f"in service for {duration(candidate.served.seconds or 0)}, {candidate.served.detail}"
    signs = (f"{which}: {candidate.sign(which).detail}" for which in rules.good_signs)
    return f"the newest good revision: {'; '.join((served, *signs))}"


def current_of(workload: Workload, revisions: Sequence[Revision]) -> Revision | None:
    """Return the revision that a workload is at; None before its controller has made one of its newest template.

    Args:
        workload: As it stands.
        revisions: What is kept of it.
    """
    at = [one for one in revisions if one.template.digest == workload.template.digest]
    return max(at, key=lambda one: one.number, default=None)


def same_images(one: Template, other: Template) -> bool:
    """Whether two templates certainly run the same images in the same containers."""
    first = {container.container: container.image for container in one.images}
    second = {container.container: container.image for container in other.images}
    return first.keys() == second.keys() and all(same_image(first[name], second[name]) for name in first)
