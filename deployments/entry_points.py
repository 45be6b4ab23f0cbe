"""The entry points that our worker runs (R13): those of the deployments that this package ships, and no other."""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from runbook.errors import Denied

if TYPE_CHECKING:
    from prefect import Flow

PREFECT_FILE = Path(__file__).with_name("prefect.yaml")
"""In the package, so that an installation has it; the clone's root links to it, for a plain `prefect deploy`."""


@cache
def allowed_entry_points() -> frozenset[str]:
    """Return the entry points (``package.module.flow``) of the shipped deployments."""
    return frozenset(deployment["entrypoint"] for deployment in _shipped())


def shipped_deployments() -> tuple[str, ...]:
    """Return the shipped deployments as Prefect names them, ``flow/deployment``, in the file's order."""
    # A flow is named after its function, as Prefect does it by itself.
    return tuple(
        f"{deployment['entrypoint'].rpartition('.')[2].replace('_', '-')}/{deployment['name']}"
        for deployment in _shipped()
    )


def allowed_flow(entry_point: str | None) -> "Flow[..., Any]":
    """Return the flow of an entry point, from the installed package.

    Args:
        entry_point: What a deployment names; whoever can write to the Prefect API may have named anything.

    Raises:
        Denied: It is none of ours; nothing of it was imported.
    """
    if entry_point not in allowed_entry_points():
        raise Denied(
            f"This worker does not run {entry_point!r}: it is none of this installation's procedures.",
            unchanged="Nothing of it was run.",
            next_step="look who made this deployment; give foreign flows a work pool and a worker of their own",
        )
    module, _, name = entry_point.rpartition(".")
    flow: Flow[..., Any] = getattr(import_module(module), name)
    return flow


def ignored_wishes(deployment: Mapping[str, Any], job_variables: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what a deployment or a run asks of a worker and does not get here, for the run's log.

    Args:
        deployment: Its pull steps, path and job variables.
        job_variables: The run's own.
    """
    wishes = [name for name in ("pull_steps", "path") if deployment.get(name)]
    asked = {**(deployment.get("job_variables") or {}), **job_variables}
    return (*wishes, *(f"job variable {name}" for name in sorted(asked)))


def _shipped() -> list[dict[str, Any]]:
    shipped: list[dict[str, Any]] = yaml.safe_load(PREFECT_FILE.read_text(encoding="utf-8"))["deployments"]
    return shipped
