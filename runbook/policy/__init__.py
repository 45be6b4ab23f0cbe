"""The policy: ``runbook.toml`` as one typed, frozen value. Decisions by it: ``runbook.decisions``."""

from runbook.policy.approvals import ApprovalRule, Approvals, PrefectResume, ScheduledRun
from runbook.policy.estate import FreezeWindow, KnownIssue
from runbook.policy.loading import find_policy, load_policy, parse_policy
from runbook.policy.model import Policy, known_procedure
from runbook.policy.operations import Caps, KillSwitch, Reconcile, Remedy, RemedyPolicy, Timings, Triage
from runbook.policy.people import COMMIT_AUTHOR, Contact, EscalationStep
from runbook.policy.procedures import LOW_RISK, PROCEDURES
from runbook.policy.repositories import Labels, RepositoryPolicy, WorkflowKind, WorkflowPolicy
from runbook.policy.severities import Severity, SeverityRules

__all__ = [
    "COMMIT_AUTHOR",
    "LOW_RISK",
    "PROCEDURES",
    "ApprovalRule",
    "Approvals",
    "Caps",
    "Contact",
    "EscalationStep",
    "FreezeWindow",
    "KillSwitch",
    "KnownIssue",
    "Labels",
    "Policy",
    "PrefectResume",
    "Reconcile",
    "Remedy",
    "RemedyPolicy",
    "RepositoryPolicy",
    "ScheduledRun",
    "Severity",
    "SeverityRules",
    "Timings",
    "Triage",
    "WorkflowKind",
    "WorkflowPolicy",
    "find_policy",
    "known_procedure",
    "load_policy",
    "parse_policy",
]
