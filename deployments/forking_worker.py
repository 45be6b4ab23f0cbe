"""The worker itself. It leans on private modules of Prefect 3.8.8 (see `deployments.worker` for what if they move)."""

import os
import threading
from multiprocessing.context import ForkServerContext, ForkServerProcess
from typing import TYPE_CHECKING, Any

import anyio
import anyio.abc
from prefect.runner._flow_run_executor import FlowRunExecutionResult, FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from deployments.entry_points import allowed_flow, ignored_wishes
from deployments.forked_run import run_forked

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.client.schemas.objects import FlowRun
    from prefect.runner._control_channel import ControlChannel

IGNORED: "anyio.abc.TaskStatus[Any]" = anyio.TASK_STATUS_IGNORED


# Starting a process looks after all others that ended, and two that read one's exit status at once get it wrong.
_PROCESSES = threading.Lock()


def _start(child: ForkServerProcess) -> None:
    with _PROCESSES:
        child.start()


def _reap(child: ForkServerProcess) -> None:
    with _PROCESSES:
        child.join()


class ForkStarter:
    """Starts one run's process, as Prefect's executor asks for it.

    Args:
        forkserver: Where processes are forked.
        entry_point: The run's flow.
        control_channel: By which the executor tells the process a cancellation from a suspension.
    """

    def __init__(
        self, forkserver: ForkServerContext, entry_point: str, control_channel: "ControlChannel"
    ) -> None:
        self._forkserver = forkserver
        self._entry_point = entry_point
        self._control_channel = control_channel

    async def start(
        self, flow_run: "FlowRun", task_status: "anyio.abc.TaskStatus[ProcessHandle]" = IGNORED
    ) -> None:
        """Start it, say so, and return when it has ended."""
        port, token = self._control_channel.register(flow_run.id)
        # This process's own environment, which the supervisor built from nothing; a deployment adds nothing to it.
        environment = {
            **os.environ,
            "PREFECT__FLOW_RUN_ID": str(flow_run.id),
            "PREFECT__CONTROL_PORT": str(port),
            "PREFECT__CONTROL_TOKEN": token,
            # They would load the flow by the deployment's own steps; ours have none.
            "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",
        }
        child = self._forkserver.Process(
            target=run_forked, args=(environment, str(flow_run.id), self._entry_point)
        )
        await anyio.to_thread.run_sync(_start, child)
        task_status.started(ProcessHandle(child))  # type: ignore[arg-type] # it names the spawn kind, and uses any
        # No thread is held meanwhile: a run may watch something for hours, and there are forty of them.
        await anyio.wait_readable(child.sentinel)
        await anyio.to_thread.run_sync(_reap, child)


class ForkingWorker(ProcessWorker):
    """A process worker whose processes are forked, and whose flows are ours.

    Args:
        forkserver: Where processes are forked.
        options: The base worker's own.
    """

    def __init__(self, *, forkserver: ForkServerContext, **options: Any) -> None:
        super().__init__(**options)
        self._forkserver = forkserver

    async def run(
        self,
        flow_run: "FlowRun",
        configuration: ProcessJobConfiguration,
        task_status: "anyio.abc.TaskStatus[int] | None" = None,
    ) -> ProcessWorkerResult:
        """Run one flow run in a process of its own and wait for its end.

        Args:
            flow_run: The run.
            configuration: What the work pool and the deployment ask for; nothing of it is used.
            task_status: Told the process's id once it runs.

        Raises:
            Denied: The deployment's entry point is none of ours; the run is reported as crashed.
        """
        entry_point = await self._entry_point(flow_run)
        flow = await anyio.to_thread.run_sync(allowed_flow, entry_point)

        async def our_flow(_: "FlowRun") -> "Flow[..., Any]":
            return flow

        execution: FlowRunExecutionResult | None = None
        async with FlowRunExecutorContext() as context:
            executor = context.create_executor(
                flow_run,
                ForkStarter(self._forkserver, entry_point, context.control_channel),
                resolve_flow=our_flow,
                propose_submitting=False,
            )

            async def execute(*, task_status: "anyio.abc.TaskStatus[ProcessHandle]" = IGNORED) -> None:
                nonlocal execution
                execution = await executor.submit(task_status=task_status)

            async with anyio.create_task_group() as group:
                handle = await group.start(execute)
                if task_status is not None:
                    task_status.started(handle.pid)
        if execution is None or execution.status_code is None:
            raise RuntimeError("the run's process ended without a status")
        return ProcessWorkerResult(status_code=execution.status_code, identifier=str(handle.pid))

    async def _entry_point(self, flow_run: "FlowRun") -> str:
        """Return the entry point of a run's deployment; say what else the deployment asks for in vain."""
        if flow_run.deployment_id is None:
            return ""
        deployment = await self.client.read_deployment(flow_run.deployment_id)
        ignored = ignored_wishes(deployment.model_dump(), flow_run.job_variables or {})
        if ignored:
            self.get_flow_run_logger(flow_run).warning(
                "Ignored, for this worker runs only what its own package ships: %s", ", ".join(ignored)
            )
        return deployment.entrypoint or ""
