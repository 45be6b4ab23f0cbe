"""What the supervisor asks of a Prefect server over its REST API: health, version, work pool, workers.

Plain requests instead of Prefect's own client: importing that costs over a second, and this runs in the
command line's process, before and beside everything else.
"""

import base64
from importlib.metadata import version as installed_version
from typing import Any, Self
from urllib.parse import urlsplit

import requests
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from runbook.errors import Denied, Permanent, Transient, UsageError
from runbook.settings import is_loopback

WORK_POOL = "runbook"
_TIMEOUT_SECONDS = 10.0
# On SQLite the server answers 503 whenever two writers meet (prefect#10188), and it closes idle connections at
# the very moment they are used again. All we send may be sent again.
_BUSY = Retry(
    total=5,
    connect=0,
    read=2,
    backoff_factor=0.1,
    status_forcelist=(503,),
    allowed_methods=None,
    raise_on_status=False,
)

# The pool decides how a flow run starts, and offers deployments no say in it: with the stock template anybody
# who can write to the API could hand the worker a command or an environment (rule 13). Naming the engine also
# spares each run the worker's workspace set-up, a second of its 2.6 from create to flow body. There is no `env`,
# not even an empty one: a worker adds a deployment's variables wherever it finds one.
_JOB_TEMPLATE: dict[str, Any] = {
    "job_configuration": {"command": "python -m prefect.engine", "stream_output": True},
    "variables": {"type": "object", "properties": {}},
}


class PrefectApi:
    """One Prefect server, by its API URL.

    Args:
        api_url: With ``/api`` at its end.
        auth_string: ``user:password`` where the server asks for it (PREFECT_SERVER_API_AUTH_STRING).
    """

    def __init__(self, api_url: str, *, auth_string: SecretStr | None = None) -> None:
        self.url = api_url.rstrip("/")
        self._session = requests.Session()
        # Loopback never goes through a proxy; an address elsewhere is reached as the workers reach it.
        self._session.trust_env = not is_loopback(urlsplit(api_url).hostname or "")
        self._session.mount("http://", HTTPAdapter(max_retries=_BUSY))
        self._session.mount("https://", HTTPAdapter(max_retries=_BUSY))
        if auth_string is not None:
            encoded = base64.b64encode(auth_string.get_secret_value().encode()).decode()
            self._session.headers["Authorization"] = f"Basic {encoded}"

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def is_healthy(self) -> bool:
        """Whether the server answers and is ready for requests."""
        try:
            return self._session.get(f"{self.url}/health", timeout=_TIMEOUT_SECONDS).ok
        except requests.RequestException:
            return False

    def require_matching_version(self) -> None:
        """Check that the server speaks the version that is installed here.

        Raises:
            UsageError: It is another version, or no Prefect server.
            Denied: It wants a password.
            Transient: It does not answer.
        """
        ours = installed_version("prefect")
        try:
            theirs = self._request("GET", "/admin/version")
        except Permanent as error:
            raise UsageError(
                f"What answers at {self.url} does not behave like a Prefect server.",
                unchanged="Nothing was changed there.",
                next_step="check PREFECT_API_URL, which ends in /api; unset it to get a server of our own.",
            ) from error
        if theirs != ours:
            raise UsageError(
                f"The Prefect server at {self.url} is version {theirs}; this installation speaks {ours}.",
                unchanged="Nothing was changed there.",
                next_step=f"run Prefect {ours} there, or unset PREFECT_API_URL to get a server of our own.",
            )

    def require_protection(self) -> None:
        """Check that a server off loopback lets nobody in without a password (rule 13).

        Raises:
            UsageError: Anybody who reaches it may write to it.
            Transient: It does not answer.
        """
        if is_loopback(urlsplit(self.url).hostname or ""):
            return
        try:
            anonymous = requests.get(f"{self.url}/admin/version", timeout=_TIMEOUT_SECONDS)
        except requests.RequestException as error:
            raise self._unreachable() from error
        if anonymous.ok:
            raise UsageError(
                f"The Prefect server at {self.url} is off this machine and asks for no password: "
                "whoever reaches it could run code with this installation's credentials.",
                unchanged="Nothing was started.",
                next_step="set PREFECT_SERVER_API_AUTH_STRING there, to user:password, and the same here.",
            )

    def ensure_work_pool(self) -> None:
        """Create the work pool ``runbook`` of type process; one that exists is left as it is."""
        pool = {"name": WORK_POOL, "type": "process", "base_job_template": _JOB_TEMPLATE}
        self._request("POST", "/work_pools/", json=pool, accept=(201, 409))

    def pool_chooses_everything(self) -> bool:
        """Whether the work pool still offers deployments no say in how a run starts (rule 13).

        Raises:
            Permanent: There is no such pool.
        """
        template: dict[str, Any] = self._request("GET", f"/work_pools/{WORK_POOL}")["base_job_template"]
        configuration, offered = (_JOB_TEMPLATE[part] for part in ("job_configuration", "variables"))
        return bool(
            template.get("job_configuration") == configuration
            and template.get("variables", {}).get("properties") == offered["properties"]
        )

    def online_workers(self) -> set[str]:
        """Return the names of the work pool's workers that were heard of lately."""
        workers: list[dict[str, Any]] = self._request(
            "POST", f"/work_pools/{WORK_POOL}/workers/filter", json={}
        )
        return {worker["name"] for worker in workers if worker["status"] == "ONLINE"}

    def _request(
        self, method: str, path: str, *, json: object = None, accept: tuple[int, ...] = (200,)
    ) -> Any:
        try:
            response = self._session.request(method, self.url + path, json=json, timeout=_TIMEOUT_SECONDS)
        except requests.RequestException as error:
            raise self._unreachable() from error
        if response.status_code in (401, 403):
            raise Denied(
                f"The Prefect server at {self.url} wants a password, or another one.",
                unchanged="Nothing was changed there.",
                next_step="set PREFECT_SERVER_API_AUTH_STRING to the one that it was started with.",
            )
        if response.status_code == 429 or (
            response.status_code >= 500 and response.status_code not in accept
        ):
            raise Transient(
                f"The Prefect server at {self.url} answered {response.status_code} to {method} {path}.",
                unchanged="Nothing was changed there, or what was asked for will be found when it is asked again.",
                next_step="try again; if it stays so, read the server's log.",
            )
        if response.status_code not in accept:
            raise Permanent(
                f"The Prefect server at {self.url} answered {response.status_code} to {method} {path}.",
                next_step="check PREFECT_API_URL, and read the server's log.",
            )
        if response.status_code == 204:
            return None
        try:
            return response.json()
        except requests.JSONDecodeError as error:
            raise Permanent(
                f"What answers at {self.url} sent no JSON to {method} {path}.",
                next_step="check PREFECT_API_URL: it ends in /api.",
            ) from error

    def _unreachable(self) -> Transient:
        return Transient(
            f"The Prefect server at {self.url} does not answer.",
            unchanged="Nothing was changed there.",
            next_step="start it, or unset PREFECT_API_URL to get a server of our own.",
        )
