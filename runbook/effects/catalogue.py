"""Imports every module of effects, so that the journal can load any of them."""

from runbook.effects import (
    actions_caches,
    actions_runs,
    gitops,
    hook_deliveries,
    incident_issues,
    pull_requests,
    releases,
    workloads,
)
from runbook.engine.effects import registered

__all__ = [
    "actions_caches",
    "actions_runs",
    "gitops",
    "hook_deliveries",
    "incident_issues",
    "pull_requests",
    "registered",
    "releases",
    "workloads",
]
