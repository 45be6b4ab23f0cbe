"""A real server, the real `prefect deploy --all` and a stock worker: what is deployed is what the file says."""

import json
import tomllib
import uuid
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from deployments.children import Child, ChildDied
from deployments.cli.doctor_findings import Health
from deployments.cli.doctor_local import check_prefect
from deployments.entry_points import PREFECT_FILE
from deployments.supervisor import Supervisor, prefect_command
from runbook.requests import ClearCachesRequest, SweepRequest
from runbook.scrub import register_secret
from runbook.settings import Settings
from tests.deployments.processes import await_true, processes_of

ROOT = Path(__file__).parents[2]
PASSWORD = "user:canary-password-of-the-api"
TOKEN = "canary-token-of-github"
PROBE_FILE = """
name: probe
pull: []
deployments:
  - name: default
    entrypoint: tests.deployments.probe_flow.probe
    work_pool: {name: runbook}
  - name: hostile
    entrypoint: tests.deployments.probe_flow.probe
    work_pool:
      name: runbook
      job_variables: {command: "touch obeyed", env: {HOSTILE: "1"}, working_dir: "%s"}
"""


class Server:
    """The Prefect API as a user of it."""

    def __init__(self, api_url: str) -> None:
        self.api_url = api_url
        self._session = requests.Session()
        self._session.auth = ("user", PASSWORD.partition(":")[2])
        busy = Retry(total=8, backoff_factor=0.1, status_forcelist=(503,), allowed_methods=None)
        self._session.mount("http://", HTTPAdapter(max_retries=busy))

    def post(self, path: str, body: object) -> Any:
        """POST and return what comes."""
        response = self._session.post(self.api_url + path, json=body, timeout=10)
        response.raise_for_status()
        return response.json()

    def deployments(self) -> dict[str, dict[str, Any]]:
        """Return the deployments by ``flow/name``."""
        flows = {flow["id"]: flow["name"] for flow in self.post("/flows/filter", {})}
        found = self.post("/deployments/filter", {})
        return {f"{flows[deployment['flow_id']]}/{deployment['name']}": deployment for deployment in found}

    def scheduled(self, deployment: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the deployment's runs that wait for their time."""
        wanted = {
            "deployments": {"id": {"any_": [deployment["id"]]}},
            "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        }
        runs: list[dict[str, Any]] = self.post("/flow_runs/filter", wanted)
        return runs

    def start(self, deployment: str, **parameters: object) -> None:
        """Start a run; sent again by a retry it is still one run."""
        identifier = self.deployments()[deployment]["id"]
        body = {"parameters": parameters, "idempotency_key": str(uuid.uuid4())}
        self.post(f"/deployments/{identifier}/create_flow_run", body)

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's installation keeps its state."""
    return tmp_path_factory.mktemp("installation")


@pytest.fixture(scope="module")
def up(state: Path, pytestconfig: pytest.Config) -> Iterator[Supervisor]:
    """A server with a password, and everything of prefect.yaml deployed."""
    register_secret(PASSWORD)
    assert pytestconfig.cache is not None
    cache = pytestconfig.cache.mkdir("runbook")
    options: dict[str, Any] = {"cache_directory": cache, "import_path": [ROOT]}
    with Supervisor(state, auth_string=SecretStr(PASSWORD), **options) as supervisor:
        supervisor.start_prefect_server()
        supervisor.deploy_all()
        yield supervisor
    assert processes_of(state) == {}


@pytest.fixture(scope="module")
def server(up: Supervisor) -> Iterator[Server]:
    """The server's API."""
    api = Server(up.api_url)
    yield api
    api.close()


@pytest.fixture(scope="module")
def worker(up: Supervisor, state: Path) -> Child:
    """A stock worker, as ours runs no probe, started as the supervisor starts ours; the probe is deployed beside."""
    probe_file = state / "probe.yaml"
    probe_file.write_text(PROBE_FILE % state)
    command = prefect_command(
        *("worker", "start", "--pool", "runbook", "--type", "process"), *("--name", up.worker_name)
    )
    settings = {"GITHUB_TOKEN": TOKEN, "PREFECT_WORKER_QUERY_SECONDS": "0.5"}
    child = up.start("worker", command, settings=settings, reaches_prefect=True, reaches_network=True)
    up.deploy_all(probe_file)
    up.await_worker()
    return child


def told_by(worker: Child, name: str) -> dict[str, str]:
    line = worker.await_line(lambda text: f"probe {name} " in text, deadline_seconds=60)
    # Another process may write to the worker's log before the line ends.
    environment: dict[str, str] = json.JSONDecoder().raw_decode(line.partition(f"probe {name} ")[2])[0]
    return environment


def test_doctor_finds_a_strict_pool_and_warns_of_a_stock_worker(up: Supervisor, worker: Child) -> None:
    """Such a worker runs the pull steps of whoever can write to the API (rule 13)."""
    environment = {"PREFECT_API_URL": up.api_url, "PREFECT_API_AUTH_STRING": PASSWORD}
    found = {one.check: one.health for one in check_prefect(Settings.from_environment(environment))}
    assert (found["work pool"], found["worker"]) == (Health.GOOD, Health.WARNING)


def test_everything_in_the_file_is_deployed_from_modules_without_pull_steps(server: Server) -> None:
    deployed = server.deployments()
    assert {
        "triage-failed-run/default",
        "clear-caches/default",
        "clear-caches/weekly-prune",
        "reconcile-failed-runs/default",
        "sweep/default",
    } <= set(deployed)
    for name in sorted(deployed):
        deployment = deployed[name]
        assert deployment["work_pool_name"] == "runbook", name
        assert ":" not in deployment["entrypoint"], name
        assert deployment["pull_steps"] == [], name
        assert deployment["path"] is None, name


def test_a_scheduled_run_of_the_sweeper_exists_soon(server: Server) -> None:
    sweep = server.deployments()["sweep/default"]
    # With SQLAlchemy 2.1 this server creates none, ever, and says so only in its log.
    await_true(lambda: server.scheduled(sweep), deadline_seconds=30, what="a scheduled run")
    request = SweepRequest(**server.scheduled(sweep)[0]["parameters"]["request"])
    assert request.mode == "apply"
    # A sweep whose process was killed would hold Prefect's slot for good; the ledger's lease can be taken over.
    assert sweep["global_concurrency_limit"] is None


def test_deploying_again_schedules_the_same_moments_once(up: Supervisor, server: Server) -> None:
    sweep = server.deployments()["sweep/default"]
    await_true(lambda: server.scheduled(sweep), deadline_seconds=30, what="a scheduled run")
    up.deploy_all()  # removes the waiting runs; the scheduler makes them again
    await_true(lambda: server.scheduled(sweep), deadline_seconds=30, what="a scheduled run")
    moments = [run["next_scheduled_start_time"] for run in server.scheduled(sweep)]
    assert len(moments) == len(set(moments))
    assert all(moment.endswith(":00Z") for moment in moments)


def test_the_weekly_prune_is_off_and_is_what_the_example_policy_allows(server: Server) -> None:
    prune = server.deployments()["clear-caches/weekly-prune"]
    (schedule,) = prune["schedules"]
    assert schedule["active"] is False
    assert schedule["schedule"]["timezone"] == "Etc/UTC"
    assert server.scheduled(prune) == []
    asked = ClearCachesRequest(**schedule["parameters"]["request"])
    policy = tomllib.loads((ROOT / "runbook.toml").read_text())
    (allowed,) = [entry for entry in policy["scheduled"] if entry["name"] == prune["name"]]
    assert asked == ClearCachesRequest(**allowed["request"])


def test_each_form_explains_its_fields(server: Server) -> None:
    for name, deployment in server.deployments().items():
        if name.startswith("probe/"):
            continue
        assert deployment["description"].strip(), name
        assert deployment["tags"], name
        forms = deployment["parameter_openapi_schema"]["definitions"]
        fields = {f"{form}.{field}": value for form in forms for field, value in properties_of(forms[form])}
        assert fields, name
        unexplained = [field for field, value in fields.items() if not value.get("description")]
        assert unexplained == [], name
        if not name.startswith("sweep/"):
            assert any(value.get("examples") for value in fields.values()), name


def properties_of(form: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return list(form.get("properties", {}).items())


def test_the_file_carries_the_packages_version() -> None:
    content = yaml.safe_load(PREFECT_FILE.read_text())
    assert {deployment["version"] for deployment in content["deployments"]} == {version("runbook")}
    assert content["prefect-version"] == version("prefect")
    assert (ROOT / "prefect.yaml").resolve() == PREFECT_FILE.resolve()


def test_nobody_gets_in_without_the_password(up: Supervisor) -> None:
    for attempt in ({}, {"auth": ("user", "guess")}):
        answer = requests.post(f"{up.api_url}/deployments/filter", json={}, timeout=10, **attempt)  # type: ignore[arg-type]
        assert answer.status_code == 401


def test_a_web_page_elsewhere_may_not_call_the_api(up: Supervisor) -> None:
    origin = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = requests.options(f"{up.api_url}/deployments/filter", headers=origin, timeout=10)
    assert answer.headers.get("Access-Control-Allow-Origin") not in ("*", "http://evil.example")


def test_the_ui_calls_the_port_that_it_came_from(up: Supervisor) -> None:
    settings = requests.get(f"{up.ui_url}/ui-settings", timeout=10).json()
    assert settings["api_url"] == up.api_url


def test_a_flow_run_knows_its_settings_and_nothing_of_the_users(
    worker: Child, server: Server, state: Path
) -> None:
    server.start("probe/default", name="knows")
    environment = told_by(worker, "knows")
    assert environment["GITHUB_TOKEN"] == TOKEN
    assert environment["PREFECT_API_URL"] == server.api_url
    assert environment["TMPDIR"].startswith(str(state))
    assert "PYTEST_CURRENT_TEST" not in environment


def test_a_deployment_cannot_choose_what_the_worker_runs(worker: Child, server: Server, state: Path) -> None:
    server.start("probe/hostile", name="hostile")
    assert "HOSTILE" not in told_by(worker, "hostile")
    assert not (state / "obeyed").exists()


def test_credentials_stand_in_no_command_line_log_or_server_database(
    worker: Child, server: Server, state: Path
) -> None:
    for entry in processes_of(state).values():
        assert PASSWORD not in entry
        assert TOKEN not in entry
    for path in (state / "prefect-server.log", state / "deploy.log", *state.glob("prefect.db*")):
        content = path.read_bytes()
        assert TOKEN.encode() not in content, path
        assert PASSWORD.encode() not in content, path


def test_a_file_that_cannot_be_deployed_is_told_with_the_reason(up: Supervisor, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        "deployments: [{name: default, entrypoint: flows.none.none, work_pool: {name: runbook}}]"
    )
    with pytest.raises(ChildDied, match=r"(?s)The deploy ended with status 1.*flows\.none"):
        up.deploy_all(broken)
    up.check()  # a failed deploy is its caller's, not the end of the installation


def test_a_running_flow_ends_with_the_installation(worker: Child, server: Server) -> None:
    server.start("probe/default", name="endless", seconds=600)
    told_by(worker, "endless")
    # The fixture's end asserts that no process is left.
