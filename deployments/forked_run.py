"""One flow run in a process that was forked with the product already loaded.

What it leans on are private modules of Prefect 3.8.8; ``deployments.worker`` looks whether they are all there.
"""

import os
from collections.abc import Mapping
from uuid import UUID

from prefect import State
from prefect._internal.control_listener import start as start_control_listener
from prefect.context import root_settings_context
from prefect.engine import handle_engine_signals
from prefect.exceptions import UnfinishedRun
from prefect.flow_engine import load_flow_run, run_flow

from deployments.entry_points import allowed_flow


def run_forked(environment: Mapping[str, str], flow_run_id: str, entry_point: str) -> None:
    """Run a flow run to its end, its suspension or its death; the body of the child process.

    Args:
        environment: All that it gets to know.
        flow_run_id: The run.
        entry_point: Which of our flows; not read from the deployment again, which may have changed since.
    """
    os.environ.clear()
    os.environ.update(environment)
    run_id = UUID(flow_run_id)
    with root_settings_context():
        start_control_listener()  # tells a cancellation from a suspension where a signal comes
        with handle_engine_signals(run_id):
            # The state and never the result: a server that answers with a state of somebody else's making may name
            # any file or storage as its result, and Prefect would unpickle what lies there (R13).
            state = run_flow(
                allowed_flow(entry_point),
                flow_run=load_flow_run(run_id),
                error_logger=None,
                return_type="state",
            )
            _require_completed(state)


def _require_completed(state: object) -> None:
    """Leave by an error, as Prefect's own engine process does, where the run did not end well.

    Raises:
        UnfinishedRun: It failed, crashed, was cancelled, or has not ended; whether that state was reported,
            Prefect's handling of the error looks.
    """
    if not isinstance(state, State) or not state.is_completed():
        raise UnfinishedRun(
            f"The run ended as {state.type.value if isinstance(state, State) else 'nothing'}."
        )
