"""The incident of a deployment that went wrong: which services, how they stand, why a rollback is asked for."""

from collections.abc import Sequence

from runbook.report.text import Size, fitting, markdown_table, sentences, words
from runbook.standing import Standing
from runbook.workloads import Pod


def rollback_incident_title(severity: str, standings: Sequence[Standing]) -> str:
    """Return the incident's title: severity, services, where.

    Args:
        severity: The severity's name.
        standings: The services that are to be rolled back.
    """
    names = ", ".join(one.service for one in standings)
    places = ", ".join(sorted({one.workload.ref.namespace for one in standings}))
    return f"{severity}: {names} in {places}: image to be rolled back"


def rollback_incident_markdown(standings: Sequence[Standing], *, why: str, on_call: str | None) -> str:
    """Render the incident as it is opened.

    Args:
        standings: The services as they stand.
        why: Who or what asks for a rollback.
        on_call: Whom the policy wants mentioned (``@alice``); ours, so it takes effect.
    """

    def render(size: Size) -> str:
        rows = [
            (
                words(one.service, size),
                words(", ".join(image.image for image in one.workload.template.images), size),
                f"{one.workload.ready} of {one.workload.wanted}",
                str(sum(pod.restarts for pod in one.pods)),
                words(", ".join(reasons_of(one.pods)) or "-", size),
            )
            for one in standings[: size.rows]
        ]
        columns = ("Service", "Images", "Pods ready", "Restarts", "What pods say")
        table = markdown_table(columns, rows, left_out=len(standings) - len(rows))
        return f"{f'{on_call}: please look. ' if on_call else ''}{sentences(words(why, size))}\n\n{table}"

    return fitting(render)


def reasons_of(pods: Sequence[Pod]) -> tuple[str, ...]:
    """Return what containers wait for or ended with, each once, sorted."""
    return tuple(sorted({reason for pod in pods if not pod.terminating for reason in pod.reasons}))
