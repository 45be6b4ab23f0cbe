"""Which revision is gone back to: the one that was asked for, or the last known good one (RB-03, RB-04)."""

from collections.abc import Sequence
from enum import StrEnum

from runbook.decisions.image_reference import is_digest, is_tag, parse_image, same_repository
from runbook.decisions.last_known_good import Candidate, GoodChoice, Rejected, last_known_good
from runbook.models import Frozen
from runbook.policy.estate import ImageRollback
from runbook.requests import LAST_KNOWN_GOOD
from runbook.workloads import Revision

_MOST_NAMED = 10
"""Revisions that a refusal names."""


class NoTarget(StrEnum):
    """Why what was asked for cannot be gone back to."""

    MALFORMED = "malformed"
    UNKNOWN_REVISION = "unknown_revision"
    GARBAGE_COLLECTED = "garbage_collected"
    ALREADY_CURRENT = "already_current"
    BARRED = "barred"
    IMAGE_GONE = "image_gone"
    NONE_GOOD = "none_good"


class TargetRefused(Frozen):
    """What was asked for is not gone back to.

    Args:
        why: Why not.
        reason: As a sentence.
        next_step: What a person can do about it.
        rejected: Where the last known good one was looked for: what was looked at.
    """

    why: NoTarget
    reason: str
    next_step: str
    rejected: tuple[Rejected, ...] = ()


def target_of(
    asked: str,
    candidates: Sequence[Candidate],
    rules: ImageRollback,
    *,
    current: Revision,
    images: Sequence[str],
    current_digests: Sequence[str] = (),
) -> GoodChoice | TargetRefused:
    """Find the revision that was asked for.

    Args:
        asked: A revision's number, an image's tag or digest, or ``last known good``. What is both the number of a
            revision that is kept and a tag is taken for the number.
        candidates: The revisions that are kept, the current one among them or not.
        rules: What good means.
        current: What runs now.
        images: The services' images, without tag: of several containers theirs count.
        current_digests: What those images run as now, as far as that was looked up.
    """
    asked = asked.strip()
    if asked.casefold() == LAST_KNOWN_GOOD:
        return _good_one(candidates, rules, current)
    if not (is_tag(asked) or is_digest(asked)):
        return TargetRefused(
            why=NoTarget.MALFORMED,
            reason=f"{asked[:80]!r} is no revision's number, no tag and no digest",
            next_step="give one of them, or leave it out for the last known good revision",
        )
    others = [candidate for candidate in candidates if candidate.revision.name != current.name]
    fitting = [one for one in others if _is_number(asked, one.revision)]
    runs_now = _is_number(asked, current) or _names(asked, current, images) or asked in current_digests
    if not fitting and runs_now:
        return TargetRefused(
            why=NoTarget.ALREADY_CURRENT,
            reason=f"{asked} is what runs now (revision {current.number})",
            next_step=f"name another revision by its number; {_kept(others)}",
        )
    fitting = fitting or [
        one for one in others if _names(asked, one.revision, images) or asked in one.digests
    ]
    if not fitting:
        return _unknown(asked, others, current)
    newest = max(fitting, key=lambda one: one.revision.number)
    if newest.barred:
        return TargetRefused(
            why=NoTarget.BARRED,
            reason=f"the image of revision {newest.revision.number} is barred: {newest.barred}",
            next_step="end the bar first (`runbook exceptions` lists it), or name another revision",
        )
    if newest.in_registry.holds is False:
        return TargetRefused(
            why=NoTarget.IMAGE_GONE,
            reason=f"the image of revision {newest.revision.number} is {newest.in_registry.detail}",
            next_step="name another revision, or push that image again",
        )
    what = "revision " if _is_number(asked, newest.revision) else ""
    return GoodChoice(revision=newest.revision, reason=f"{what}{asked} was asked for", rejected=())


def _good_one(
    candidates: Sequence[Candidate], rules: ImageRollback, current: Revision
) -> GoodChoice | TargetRefused:
    choice = last_known_good(candidates, rules, current=current)
    if isinstance(choice, GoodChoice):
        return choice
    looked_at = "; ".join(
        f"revision {one.revision.number}: {one.why}{f' ({one.detail})' if one.detail else ''}"
        for one in choice.rejected[:_MOST_NAMED]
    )
    more = f"; and {left} older ones" if (left := len(choice.rejected) - _MOST_NAMED) > 0 else ""
    return TargetRefused(
        why=NoTarget.NONE_GOOD,
        reason=f"{choice.reason}{': ' if looked_at else ''}{looked_at}{more}",
        next_step="name a revision yourself, by its number, tag or digest, or deploy a mended version",
        rejected=choice.rejected,
    )


def _unknown(asked: str, others: Sequence[Candidate], current: Revision) -> TargetRefused:
    oldest = min((one.revision.number for one in others), default=current.number)
    if asked.isdecimal() and 0 < int(asked) < max(current.number, oldest):
        gone = (
            f"revision {asked} is no longer kept"
            if int(asked) < oldest
            else f"revision {asked} is no longer kept under that number: what is rolled back to gets a new one"
        )
        return TargetRefused(
            why=NoTarget.GARBAGE_COLLECTED,
            reason=gone,
            next_step=f"name one that is, or deploy the image of that revision anew; {_kept(others)}",
        )
    return TargetRefused(
        why=NoTarget.UNKNOWN_REVISION,
        reason=f"no revision that is kept is {asked} or has it as its image's tag or digest",
        next_step=_kept(others),
    )


def _is_number(asked: str, revision: Revision) -> bool:
    return asked.isdecimal() and revision.number == int(asked)


def _names(asked: str, revision: Revision, images: Sequence[str]) -> bool:
    named = [one.image for one in revision.template.images]
    ours = [one for one in named if any(same_repository(one, image) for image in images)] or named
    parsed = [one for one in map(parse_image, ours) if one is not None]
    return any(asked in (one.tag, one.digest) for one in parsed)


def _kept(others: Sequence[Candidate]) -> str:
    numbers = sorted((one.revision.number for one in others), reverse=True)
    shown = ", ".join(map(str, numbers[:_MOST_NAMED]))
    more = f" and {len(numbers) - _MOST_NAMED} more" if len(numbers) > _MOST_NAMED else ""
    return f"kept beside the current one: {shown}{more}" if numbers else "no other revision is kept"
