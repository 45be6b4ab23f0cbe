"""How long a revision was in service, as far as what Kubernetes keeps of it tells."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from runbook.models import Frozen
from runbook.workloads import Revision


class TimeServed(Frozen):
    """How long a revision was in service, at least.

    Args:
        seconds: At least so long; None where the revisions that are kept do not tell.
        detail: How that is known, or why it is not.
    """

    seconds: float | None
    detail: str


def served(revisions: Sequence[Revision], *, current: str, now: datetime) -> Mapping[str, TimeServed]:
    """Tell for each revision of a workload how long it was in service, at least, from what Kubernetes keeps.

    A revision's object is made when it is first deployed; what is rolled back to keeps its object and gets a new
    number. So a revision's first time in service ended when the object of the next number was made, unless that number
    went to an older object: then it was rolled back from, and no object tells when. A ReplicaSet notes the numbers that
    it had before; a ControllerRevision does not, and one that was left, came back and was left again may seem to
    have been in service for longer than it was.

    Args:
        revisions: All that are kept of one workload.
        current: The name of the object that is current.
        now: The current time, UTC-aware.

    Returns:
        By the objects' names.
    """
    by_age = sorted(revisions, key=lambda revision: (revision.created_at, revision.first_number))
    return {
        revision.name: _served(by_age, place, current=current, now=now)
        for place, revision in enumerate(by_age)
    }


def _served(by_age: Sequence[Revision], place: int, *, current: str, now: datetime) -> TimeServed:
    revision, newer = by_age[place], by_age[place + 1 :]
    if not newer:
        left = any(other.number > revision.number for other in by_age)
        if left or revision.name != current or revision.earlier_numbers:
            return TimeServed(
                seconds=None, detail="an older revision took its place, and no object tells when"
            )
        return TimeServed(seconds=(now - revision.created_at).total_seconds(), detail="since it was made")
    following = newer[0]
    until = TimeServed(
        seconds=(following.created_at - revision.created_at).total_seconds(),
        detail=f"until revision {following.number} was made",
    )
    if following.first_number == revision.first_number + 1:
        return until
    if any(_came_back(by_age, at) for at in range(place)):
        return TimeServed(
            seconds=None, detail="an older revision was rolled back to, and no object tells when"
        )
    # Without a note of earlier numbers, the one that it or the next had at first is not known.
    if _renumbered(by_age, place) or _renumbered(by_age, place + 1):
        return until
    missing = f"revision {revision.first_number + 1} came after it and is no longer kept"
    return TimeServed(seconds=None, detail=missing)


def _came_back(by_age: Sequence[Revision], place: int) -> bool:
    return bool(by_age[place].earlier_numbers) or _renumbered(by_age, place)


def _renumbered(by_age: Sequence[Revision], place: int) -> bool:
    """Tell whether an object without a note of earlier numbers must have had one: a later object's is lower."""
    one = by_age[place]
    return not one.earlier_numbers and any(later.number < one.number for later in by_age[place + 1 :])


def duration(seconds: float) -> str:
    """Write a time span as people read it: ``3 d 4 h 5 min``.

    Args:
        seconds: How long.
    """
    seconds = max(seconds, 0.0)
    minutes = timedelta(seconds=seconds) // timedelta(minutes=1)
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""]
    return " ".join(part for part in parts if part) or f"{seconds:.0f} s"
