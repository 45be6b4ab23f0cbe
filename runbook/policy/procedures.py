"""The names of the runbook's procedures, as the policy, the deployments and the ledger write them."""

PROCEDURES: tuple[str, ...] = (
    "triage-failed-run",
    "escalate-incidents",
    "close-incident",
    "rollback-image",
    "rollback-workflow",
    "rollback-dependency",
    "rotate-secret",
    "rotate-secret-emergency",
    "clear-caches",
    "measure-cache-hits",
    "hotfix-deploy",
    "bypass-check",
    "disable-ci",
    "manual-deploy",
    "enable-ci",
    "remediate-known-issue",
    "check-pipeline-health",
    "report-pipeline-health",
    "prune-docker",
)

# What these do is made good by the next build (a cache, a re-run) or by the next reviewer (a pull request):
# nothing that runs for users changes, no credential moves, no check is skipped. Only for these may a policy
# let an unnamed Prefect resume count as an approval.
LOW_RISK: frozenset[str] = frozenset(
    {"triage-failed-run", "close-incident", "rollback-dependency", "clear-caches", "remediate-known-issue"}
)
