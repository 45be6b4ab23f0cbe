"""What a rollback's plan shows beside its effects: where each service goes, what was not chosen, what stays behind."""

from collections.abc import Sequence
from datetime import datetime

from runbook.decisions.image_reference import parse_image
from runbook.decisions.last_known_good import Candidate, Rejected, same_images
from runbook.decisions.time_served import duration
from runbook.engine.plan import Table
from runbook.models import Frozen
from runbook.workloads import Autoscaler, Revision, Template

_DIGEST_DIGITS = 12


class WayBack(Frozen):
    """One service's way back.

    Args:
        service: Its name.
        before: The revision that it leaves.
        after: The revision that it goes back to.
        why: Why that one.
        running: Digests of the images that its pods run now, as the nodes say.
        after_digest: The digest of the image that it goes back to, as the registry says; empty where nobody knows.
        migrations: Files that changed a database between the two, which nobody undoes; None where nobody knows.
        autoscaler: What scales it, if anything does.
    """

    service: str
    before: Revision
    after: Revision
    why: str
    running: tuple[str, ...] = ()
    after_digest: str = ""
    migrations: tuple[str, ...] | None = None
    autoscaler: Autoscaler | None = None


def ways_table(ways: Sequence[WayBack], *, now: datetime) -> Table:
    """Show from where to where each service goes.

    Args:
        ways: The services'.
        now: The current time, UTC-aware.
    """
    return Table(
        title="From and to",
        columns=("Service", "From", "To", "Why"),
        rows=tuple(
            (
                way.service,
                _revision(way.before, way.running, now),
                _revision(way.after, (way.after_digest,) if way.after_digest else (), now),
                _why(way),
            )
            for way in ways
        ),
    )


def candidates_table(
    name: str, candidates: Sequence[Candidate], *, chosen: Revision | None, rejected: Sequence[Rejected]
) -> Table:
    """Show which revisions were looked at, what is known of each, and why it was taken or not.

    Args:
        name: The service or release.
        candidates: What was looked at.
        chosen: The one that was taken; None where none was.
        rejected: Those that were not, with the reason.
    """
    verdicts = {
        one.revision.name: f"no: {one.why.value}{f' ({one.detail})' if one.detail else ''}"
        for one in rejected
    }
    if chosen is not None:
        verdicts[chosen.name] = "yes"
    return Table(
        title=f"Revisions of {name}",
        columns=("Revision", "Images", "In service", "Green run", "Deployed", "In registry", "Taken?"),
        rows=tuple(
            (
                f"{one.revision.number}{_cause(one.revision)}",
                _images(one.revision.template),
                _served(one),
                one.green_run.detail,
                one.deployed.detail,
                one.in_registry.detail,
                verdicts.get(one.revision.name, "not needed"),
            )
            for one in sorted(candidates, key=lambda one: -one.revision.number)
        ),
    )


def staying_table(ways: Sequence[WayBack]) -> Table:
    """Show what does not go back along with the images: config maps, secrets, migrations.

    Args:
        ways: The services'.
    """
    rows: list[tuple[str, str, str]] = []
    for way in ways:
        before, after = way.before.template, way.after.template
        rows += _referred(way.service, "config map", before.config_maps, after.config_maps)
        rows += _referred(way.service, "secret", before.secrets, after.secrets)
        if way.migrations is None:
            rows.append((way.service, "database migrations", "nobody can tell whether there were any"))
        rows += [
            (way.service, f"migration {path}", "came with the version that is left; it is not undone")
            for path in way.migrations or ()
        ]
    return Table(
        title="What does not go back along", columns=("Service", "What", "Why it matters"), rows=tuple(rows)
    )


def autoscalers_table(ways: Sequence[WayBack]) -> Table:
    """Show what scales the services while they move.

    Args:
        ways: The services'.
    """
    return Table(
        title="Autoscaling",
        columns=("Service", "Autoscaler", "Now", "What it will do"),
        rows=tuple(
            (
                way.service,
                scaler.name,
                f"{scaler.current} of {scaler.minimum} to {scaler.maximum}, wants {scaler.desired}",
                "go on scaling: a rollback leaves the number of replicas alone",
            )
            for way in ways
            if (scaler := way.autoscaler) is not None
        ),
    )


def rollback_tables(
    ways: Sequence[WayBack], looked_at: Sequence[Table], *, now: datetime
) -> tuple[Table, ...]:
    """Return a plan's tables in their order, without empty ones.

    Args:
        ways: The services'.
        looked_at: From :func:`candidates_table`.
        now: The current time, UTC-aware.
    """
    tables = (ways_table(ways, now=now), *looked_at, staying_table(ways), autoscalers_table(ways))
    return tuple(table for table in tables if table.rows)


def _referred(
    service: str, what: str, before: Sequence[str], after: Sequence[str]
) -> list[tuple[str, str, str]]:
    rows = [
        (
            service,
            f"{what} {name}",
            "keeps what is in it now"
            if name in before
            else "is referred to again: it must still be there, and keeps what is in it now",
        )
        for name in after
    ]
    rows += [(service, f"{what} {name}", "is no longer referred to") for name in before if name not in after]
    return rows


def _revision(revision: Revision, digests: Sequence[str], now: datetime) -> str:
    age = duration((now - revision.created_at).total_seconds())
    known = f" ({', '.join(map(_short, digests))})" if digests else ""
    images = _images(revision.template)
    return f"revision {revision.number}: {images}{known}, made {age} ago{_cause(revision)}"


def _why(way: WayBack) -> str:
    same = "the images stay the same, other settings go back"
    return f"{way.why}; {same}" if same_images(way.before.template, way.after.template) else way.why


def _images(template: Template) -> str:
    return ", ".join(_image(one.image) for one in template.images)


def _image(image: str) -> str:
    parsed = parse_image(image)
    if parsed is None or not parsed.digest:
        return image
    name = image.partition("@")[0]
    return f"{name}@{_short(parsed.digest)}"


def _short(digest: str) -> str:
    algorithm, colon, digits = digest.partition(":")
    return f"{algorithm}{colon}{digits[:_DIGEST_DIGITS]}"


def _cause(revision: Revision) -> str:
    return f", “{revision.change_cause}”" if revision.change_cause else ""


def _served(candidate: Candidate) -> str:
    served = candidate.served
    return served.detail if served.seconds is None else f"at least {duration(served.seconds)}"
