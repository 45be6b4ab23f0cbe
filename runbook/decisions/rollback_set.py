"""Which services move, in which moves, and that they all have somewhere to go (RB-05): together or not at all."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from runbook.decisions.last_known_good import GoodChoice
from runbook.decisions.rollback_target import TargetRefused
from runbook.models import Frozen
from runbook.policy.estate import Service
from runbook.requests import LAST_KNOWN_GOOD


class SetRefused(Frozen):
    """The set cannot be moved: nothing of it is."""

    reason: str
    next_step: str


class Member(Frozen):
    """A service that moves, and why it does."""

    service: Service
    because: str


class Move(Frozen):
    """What goes back in one write: a workload by itself, or a Helm release with all its services.

    Args:
        namespace: Where.
        release: The Helm release; empty for a workload by itself.
        services: The policy's services in it.
    """

    namespace: str
    release: str
    services: tuple[str, ...]

    def __str__(self) -> str:
        names = ", ".join(self.services)
        return f"release {self.release} ({names})" if self.release else names


class ChosenMove(Frozen):
    """A move and where it goes."""

    move: Move
    choice: GoodChoice


def expand(asked: Sequence[str], services: Sequence[Service]) -> tuple[Member, ...] | SetRefused:
    """Add to the services that were asked for whatever moves with them, and what moves with that.

    A Helm release goes back as a whole, so the policy's other services in it belong to the set too.

    Args:
        asked: Their names.
        services: The policy's.

    Returns:
        The members, in the policy's order, no two of one name.
    """
    unknown = [name for name in asked if all(service.name != name for service in services)]
    if unknown:
        return _unknown(unknown[0], services)
    for name in asked:
        places = _namespaces(name, services)
        if len(places) > 1:
            return _doubtful(f"the policy has the service {name!r} in several namespaces", places)
    because = dict.fromkeys(asked, "it was asked for")
    found = [service for service in services if service.name in because]
    reasons = {_place(service): because[service.name] for service in found}
    while found:
        service = found.pop()
        for other in services:
            why = _why_together(service, other, services)
            if why and _place(other) not in reasons:
                reasons[_place(other)] = why
                found.append(other)
    moving = [service for service in services if _place(service) in reasons]
    for service in moving:
        # A request, and what is told of a set, names its services by name alone.
        places = _namespaces(service.name, moving)
        if len(places) > 1:
            why = f"{service.name!r} would move along, and the policy has it in several namespaces"
            return _doubtful(why, places)
    return tuple(Member(service=service, because=reasons[_place(service)]) for service in moving)


def moves_of(members: Sequence[Member]) -> tuple[Move, ...]:
    """Group the members into as few writes as there are workloads and releases, in the members' order."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for member in members:
        service = member.service
        release = service.helm_release or ""
        key = (service.namespace, release, "" if release else service.name)
        groups.setdefault(key, []).append(service.name)
    return tuple(
        Move(namespace=namespace, release=release, services=tuple(names))
        for (namespace, release, _), names in groups.items()
    )


def asked_for(move: Move, to: Mapping[str, str]) -> str | SetRefused:
    """Return what was asked for a move: the last known good revision where nothing was.

    Args:
        move: Which.
        to: By service: a revision's number, a tag or a digest.
    """
    wishes = {name: to[name].strip() for name in move.services if name in to}
    if len(set(wishes.values())) > 1:
        said = ", ".join(f"{name} to {wish}" for name, wish in wishes.items())
        return SetRefused(
            reason=f"the Helm release {move.release} goes back as a whole, and was asked for {said}",
            next_step="give one revision for the release's services (`helm history` lists them)",
        )
    return next(iter(wishes.values()), LAST_KNOWN_GOOD)


def outside_the_set(to: Mapping[str, str], members: Sequence[Member]) -> SetRefused | None:
    """Refuse a wish for a service that does not move at all.

    Args:
        to: By service: what was asked for.
        members: What moves.
    """
    names = [member.service.name for member in members]
    for name in to:
        if name not in names:
            return SetRefused(
                reason=f"a revision was given for {name!r}, which is not to be rolled back",
                next_step=f"add it to the services, or leave it out; these move: {', '.join(names)}",
            )
    return None


def together(
    moves: Sequence[Move], targets: Mapping[Move, GoodChoice | TargetRefused]
) -> tuple[ChosenMove, ...] | SetRefused:
    """Let the set move if every one of its moves has a target.

    Args:
        moves: The set's, in their order.
        targets: Where each would go, or why it cannot.
    """
    chosen: list[ChosenMove] = []
    refused: list[tuple[Move, TargetRefused]] = []
    for move in moves:
        target = targets[move]
        if isinstance(target, TargetRefused):
            refused.append((move, target))
        else:
            chosen.append(ChosenMove(move=move, choice=target))
    if not refused:
        return tuple(chosen)
    stays = f"; so {', '.join(str(one.move) for one in chosen)} stays too" if chosen else ""
    reasons = "; ".join(f"{move}: {target.reason}" for move, target in refused)
    steps = dict.fromkeys(f"for {move}: {target.next_step}" for move, target in refused)
    return SetRefused(
        reason=f"a set moves together or not at all, and not all of it can: {reasons}{stays}"
        if len(moves) > 1
        else f"for {reasons}",
        next_step="; ".join(steps),
    )


def _place(service: Service) -> tuple[str, str]:
    return service.namespace, service.name


def _why_together(service: Service, other: Service, services: Sequence[Service]) -> str:
    if other.name in service.moves_with:
        # The policy names it by name alone: of several, the one beside it is meant.
        beside = any(one.name == other.name and one.namespace == service.namespace for one in services)
        if other.namespace == service.namespace or not beside:
            return f"it moves with {service.name}"
    release = service.helm_release
    if release and (service.namespace, release) == (other.namespace, other.helm_release):
        return f"it is in the Helm release of {service.name}"
    return ""


def _namespaces(name: str, services: Sequence[Service]) -> list[str]:
    return [service.namespace for service in services if service.name == name]


def _doubtful(why: str, places: Sequence[str]) -> SetRefused:
    return SetRefused(
        reason=f"{why}: {', '.join(places)}", next_step="give the services names of their own in the policy"
    )


def _unknown(name: str, services: Sequence[Service]) -> SetRefused:
    names = sorted({service.name for service in services})
    close = get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"it names {', '.join(names) or 'none'}"
    return SetRefused(reason=f"the policy names no service {name[:80]!r}", next_step=hint)
