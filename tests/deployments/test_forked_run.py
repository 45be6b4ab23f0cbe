"""R13: a run's process loads no result, whatever the server says that its run's state is."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.serializers import PickleSerializer

from tests.deployments.forging_server import forging_server

RUN = """
import json, sys
from deployments.forked_run import run_forked
run_forked(json.loads(sys.argv[1]), sys.argv[2], "flows.sweep.sweep")
"""


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self._marker, "unpickled"))


@pytest.mark.parametrize(
    ("kind", "status"),
    # 0 where the server has the state that the run stopped in; one that it is to be run again from is no end.
    [("COMPLETED", 0), ("FAILED", 0), ("CANCELLED", 0), ("PAUSED", 0), ("SCHEDULED", 1)],
)
def test_a_forged_states_result_is_never_unpickled(tmp_path: Path, kind: str, status: int) -> None:
    marker, planted = tmp_path / "marker", tmp_path / "planted"
    metadata = {"storage_key": str(planted), "serializer": {"type": "pickle"}}
    pickled = PickleSerializer().dumps(Evil(marker)).decode()
    planted.write_text(json.dumps({"metadata": metadata, "result": pickled}))
    run_id = str(uuid4())
    forged = {"type": kind, "name": kind.title(), "data": metadata}
    with forging_server(run_id, forged) as api_url:
        environment = {
            "PREFECT_API_URL": api_url,
            "PREFECT_HOME": str(tmp_path / "prefect"),
            "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",
        }
        ended = subprocess.run(
            [sys.executable, "-c", RUN, json.dumps(environment), run_id],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert not marker.exists(), ended.stderr
    assert ended.returncode == status, ended.stderr
    assert "Finished in state" in ended.stderr, ended.stderr  # it came as far as a state
