"""``runbook doctor`` here: policy, ledger, Prefect server, approver's token, registry."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from deployments.cli.doctor_findings import Finding, Findings, Health, attempt, failed, good, skipped, warning
from deployments.entry_points import shipped_deployments
from deployments.prefect_api import WORK_POOL, PrefectApi
from deployments.worker import FORKING
from runbook.clients.github_client import GitHubClient
from runbook.clients.registry_client import RegistryClient
from runbook.clock import SystemClock
from runbook.engine import audit
from runbook.engine.ledger import Ledger, parsed_url
from runbook.errors import LedgerError, RunbookError, UsageError
from runbook.models import RegistryState
from runbook.policy import Policy, find_policy, load_policy
from runbook.settings import Settings

_START = "start the installation with `runbook up`, and set PREFECT_API_URL as it says."
GITHUB_REGISTRY = "ghcr.io/"


def check_policy() -> tuple[Finding, Policy | None]:
    """Read the policy."""
    try:
        path = find_policy()
        policy = load_policy(path)
    except RunbookError as error:
        return failed("policy", error.message, fix=error.next_step), None
    return good(
        "policy", f"{path}: {len(policy.repositories)} repositories, digest {policy.digest[:16]}"
    ), policy


def check_ledger(settings: Settings) -> Finding:
    """Open the ledger if there is one, and verify its audit; make none."""
    return attempt("ledger", lambda: _ledger(settings))


def check_prefect(settings: Settings) -> Findings:
    """Check the Prefect server, its work pool, deployments and workers."""
    if settings.prefect_api_url is None:
        yield failed("Prefect server", "no server is named", fix=_START)
        return
    with PrefectLook(settings.prefect_api_url, auth_string=settings.prefect_auth) as prefect:
        server = attempt("Prefect server", lambda: _server(settings, prefect))
        yield server
        if server.health is Health.FAILED:
            for check in ("work pool", "deployments", "worker"):
                yield skipped(check, "the server comes first")
            return
        yield attempt("work pool", lambda: _work_pool(prefect))
        yield attempt("deployments", lambda: _deployments(prefect))
        yield attempt("worker", lambda: _worker(prefect))


def check_approver(settings: Settings, policy: Policy) -> Finding:
    """Say as whom ``runbook approve`` would approve here."""
    check = "your own token"
    try:
        token = settings.require_approver_token()
    except UsageError as error:
        return warning(check, "there is none: this terminal cannot approve", fix=error.next_step)

    def look() -> Finding:
        with GitHubClient(token=token, api_url=settings.github_api_url, clock=SystemClock()) as github:
            login = github.whoami()
        if login.casefold() in {name.casefold() for name in policy.approvals.approvers}:
            return good(check, f"{login}, an approver")
        return warning(
            check,
            f"{login}, whom the policy does not name as an approver",
            fix="approve from another account.",
        )

    return attempt(check, look)


def check_registry(github: GitHubClient, settings: Settings, policy: Policy) -> Findings:
    """Probe the registry by the first image of the policy that is GitHub's; our login goes to no other."""
    image = next((one.image for one in policy.services if one.image.startswith(GITHUB_REGISTRY)), None)
    if image is None:
        return
    try:
        token = github.token()
    except RunbookError:
        return  # an App that is given none: the check of the credential has said why
    probe = RegistryClient(
        url=settings.registry_url, login=policy.product_login or "runbook", token=token
    ).probe(image, tag="latest")
    check = f"registry {probe.registry}"
    match probe.state:
        case RegistryState.READABLE:
            yield good(check, probe.reason)
        case RegistryState.IMAGE_MISSING | RegistryState.RATE_LIMITED:
            yield warning(
                check, probe.reason, fix="nothing, if that image has no such tag; else check its name."
            )
        case RegistryState.LOGIN_REFUSED | RegistryState.ACCESS_DENIED:
            yield warning(
                check,
                probe.reason,
                fix="a classic token with read:packages (or an App) reads GitHub's registry.",
            )
        case RegistryState.UNREACHABLE:
            yield failed(check, probe.reason, fix="check the network, and GitHub's status page.")


class PrefectLook(PrefectApi):
    """What doctor asks a Prefect server beyond what a supervisor does."""

    def has(self, path: str) -> bool:
        """Whether there is something at ``path``."""
        return "id" in self._request("GET", path, accept=(200, 404))


def _ledger(settings: Settings) -> Finding:
    url = parsed_url(settings.ledger_url.get_secret_value())
    shown = url.render_as_string(hide_password=True)
    path = Path(url.database or "")
    if url.get_backend_name() == "sqlite" and not path.is_file():
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not os.access(folder, os.W_OK):
            raise LedgerError(
                f"There is no ledger at {path}, and {folder} is not writable.",
                next_step="name a place in RUNBOOK_LEDGER_URL that this user may write to.",
            )
        return good("ledger", f"none yet at {path}; the first start makes it")
    if url.get_backend_name() == "sqlite" and not os.access(path, os.W_OK):
        raise LedgerError(
            f"The ledger {path} is read-only for this user.",
            next_step="give this user write access to the file and its folder.",
        )
    ledger = Ledger(settings.ledger_url.get_secret_value())
    try:
        with ledger.read() as session:
            verdict = audit.verify(session)
    finally:
        ledger.close()
    if not verdict.intact:
        return failed(
            "ledger", f"{shown}: the audit is broken: {verdict.reason}", fix="run `runbook audit verify`."
        )
    return good("ledger", f"{shown}: audit intact, {verdict.lines} lines")


def _server(settings: Settings, prefect: PrefectLook) -> Finding:
    settings.require_private_prefect()  # first: the looks that follow send the password
    prefect.require_matching_version()
    prefect.require_protection()
    return good("Prefect server", f"{urlsplit(prefect.url).netloc}, the version that is installed here")


def _work_pool(prefect: PrefectLook) -> Finding:
    if not prefect.has(f"/work_pools/{WORK_POOL}"):
        return failed("work pool", f"there is no pool {WORK_POOL}", fix=_START)
    if not prefect.pool_chooses_everything():
        return warning(
            "work pool",
            f"{WORK_POOL} lets a deployment choose its runs' command or environment",
            fix=f"delete it (prefect work-pool delete {WORK_POOL}) and start again: `runbook up` makes a strict one.",
        )
    return good("work pool", WORK_POOL)


def _deployments(prefect: PrefectLook) -> Finding:
    wanted = shipped_deployments()
    missing = [name for name in wanted if not prefect.has(f"/deployments/name/{name}")]
    if missing:
        return failed("deployments", f"not deployed: {', '.join(missing)}", fix="run `prefect deploy --all`.")
    return good("deployments", ", ".join(wanted))


def _worker(prefect: PrefectLook) -> Finding:
    online = prefect.online_workers()
    others = sorted(name for name in online if not name.startswith(FORKING))
    if others:
        # A deployment's pull steps run in the flow run's process, which holds our credentials (R13).
        return warning(
            "worker",
            f"{', '.join(others)}: not ours, and a stock worker runs whatever a deployment carries, "
            "so that whoever can write to the Prefect API has this installation's credentials",
            fix="stop it and run ours (`python -m deployments.worker NAME`), or let only those reach the Prefect "
            "API who may have them; "
            "on a machine with other users, set PREFECT_SERVER_API_AUTH_STRING.",
        )
    if online:
        return good("worker", f"online: {', '.join(sorted(online))}; runs nothing but our flows")
    return failed("worker", "none is online: runs stay scheduled", fix=_START)
