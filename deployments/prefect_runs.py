"""Starting and watching flow runs over Prefect's REST API, as any bot could."""

from datetime import datetime
from typing import Any
from uuid import uuid4

from pydantic import BaseModel

from deployments.prefect_api import PrefectApi
from runbook.errors import UsageError
from runbook.requests import ProcedureRequest


class FlowRunState(BaseModel):
    """A flow run as far as those who wait for it care."""

    id: str
    name: str
    type: str
    state: str
    message: str
    since: datetime

    @property
    def ended(self) -> bool:
        """Whether it will not go on by itself."""
        return self.type in {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


class PrefectRuns(PrefectApi):
    """The flow runs of one Prefect server."""

    def create(
        self, procedure: str, request: ProcedureRequest, *, idempotency_key: str | None = None
    ) -> FlowRunState:
        """Create a run of a procedure's hand-started deployment.

        Args:
            procedure: The flow's name.
            request: Its one parameter.
            idempotency_key: With the same key Prefect gives the same run; a fresh one where None, so that a
                repeated call makes no second run.

        Raises:
            UsageError: The procedure is not deployed there.
        """
        deployment = self._request("GET", f"/deployments/name/{procedure}/default", accept=(200, 404))
        if "id" not in deployment:
            raise UsageError(
                f"{procedure} is not deployed at {self.url}.",
                unchanged="Nothing was started.",
                next_step="start the installation with `runbook up`, or run `prefect deploy --all`",
            )
        body = {
            "parameters": {"request": request.canonical()},
            "idempotency_key": idempotency_key or str(uuid4()),
            "state": {"type": "SCHEDULED"},
        }
        path = f"/deployments/{deployment['id']}/create_flow_run"
        return _state(self._request("POST", path, json=body, accept=(200, 201)))

    def read(self, run_id: str) -> FlowRunState:
        """Read one run."""
        return _state(self._request("GET", f"/flow_runs/{run_id}"))

    def resume(self, run_id: str) -> None:
        """Resume a suspended run; whether anything may happen then, its gate decides."""
        self._request("POST", f"/flow_runs/{run_id}/resume", json={}, accept=(200, 201))

    def artifact(self, run_id: str, key: str) -> str | None:
        """Return the newest Markdown artifact of a run under a key, or None."""
        found = self._newest_artifact(run_id, key={"any_": [key]})
        return str(found["data"]) if found else None

    def progress(self, run_id: str) -> str | None:
        """Return what a run's newest progress bar says, in words and in percent, or None."""
        found = self._newest_artifact(run_id, type={"any_": ["progress"]})
        return f"{found['description']} ({float(found['data']):.0f} %)" if found else None

    def _newest_artifact(self, run_id: str, **wanted: Any) -> dict[str, Any] | None:
        found = self._request(
            "POST",
            "/artifacts/filter",
            json={
                "artifacts": {**wanted, "flow_run_id": {"any_": [run_id]}},
                "sort": "CREATED_DESC",
                "limit": 1,
            },
        )
        return dict(found[0]) if found else None


def _state(run: dict[str, Any]) -> FlowRunState:
    state = run["state"]
    return FlowRunState(
        id=run["id"],
        name=run["name"],
        type=state["type"],
        state=state["name"],
        message=state.get("message") or "",
        since=state["timestamp"],
    )
