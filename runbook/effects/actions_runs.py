"""Effects on workflow runs (IR-16)."""

from typing import Any

from runbook.decisions.newer_run import newer_run
from runbook.engine.effects import Effect, EffectClass, Found, Precondition, ProbeResult, register
from runbook.errors import NotFound
from runbook.models import WorkflowRun
from runbook.world import World


def run_target(repository: str, run_id: int) -> str:
    """Name a run as leases do."""
    return f"run:{repository}:{run_id}"


@register("rerun-failed-jobs")
class RerunFailedJobs(Effect):
    """Start one new attempt with only the failed jobs of a completed attempt.

    GitHub refuses a second one while the first is under way; the attempt number tells afterwards whether it
    was started.
    """

    effect_class = EffectClass.PROBEABLE
    repository: str
    run_id: int
    failed_attempt: int
    workflow_file: str

    @property
    def target(self) -> str:
        """The run."""
        return run_target(self.repository, self.run_id)

    def describe(self) -> str:
        """Name run and attempt."""
        attempt = f"{self.workflow_file}, attempt {self.failed_attempt}"
        return f"re-run the failed jobs of run {self.run_id} ({attempt})"

    def command_line(self) -> tuple[str, ...]:
        """Give gh's line."""
        return ("gh", "run", "rerun", str(self.run_id), "--failed", "--repo", self.repository)

    def precondition(self, world: World) -> Precondition:
        """Ask that the planned attempt is still the newest, completed and not green, and its run not out of date."""
        try:
            run = world.github.get_run(self.repository, self.run_id)
        except NotFound:
            return Precondition(holds=False, detail=f"run {self.run_id} was deleted")
        if run.run_attempt != self.failed_attempt:
            return Precondition(holds=False, detail=f"run {self.run_id} is at attempt {run.run_attempt} now")
        if run.status != "completed" or run.conclusion == "success":
            state = run.conclusion or run.status
            return Precondition(holds=False, detail=f"run {self.run_id} is {state} now")
        newer = newer_run(run, world.github.runs_after(run))
        if newer is not None:
            return Precondition(holds=False, detail=f"run {newer.id} took the place of run {self.run_id}")
        return Precondition(holds=True, detail=f"attempt {self.failed_attempt} ended in {run.conclusion}")

    def probe(self, world: World) -> ProbeResult:
        """Compare the newest attempt with the planned one."""
        run = world.github.get_run(self.repository, self.run_id)
        if run.run_attempt > self.failed_attempt:
            return ProbeResult(
                found=Found.DONE,
                detail=f"attempt {run.run_attempt} exists",
                result=_started(self.failed_attempt),
            )
        return ProbeResult(found=Found.NOT_DONE, detail=f"attempt {run.run_attempt} is the newest")

    def apply(self, world: World, *, repeated: bool) -> dict[str, Any]:
        """Start it."""
        world.github.rerun_failed_jobs(self.repository, self.run_id)
        return _started(self.failed_attempt)

    def undo(self, world: World, result: dict[str, Any]) -> None:
        """Cancel the attempt that was started, if it is still under way."""
        run = self._started_run(world, result)
        if run is not None and not _attempt_ended(run):
            world.github.cancel_run(self.repository, self.run_id)

    def probe_undo(self, world: World, result: dict[str, Any]) -> ProbeResult:
        """Look whether the attempt that was started has ended."""
        run = self._started_run(world, result)
        if run is None:
            return ProbeResult(found=Found.DONE, detail=f"run {self.run_id} was deleted")
        if _attempt_ended(run):
            return ProbeResult(found=Found.DONE, detail=f"attempt {result['attempt']} is no longer running")
        return ProbeResult(found=Found.NOT_DONE, detail=f"attempt {result['attempt']} is {run.status}")

    def _started_run(self, world: World, result: dict[str, Any]) -> WorkflowRun | None:
        """Return the attempt that was started; None where somebody deleted its run, which ends it too."""
        try:
            return world.github.get_run_attempt(self.repository, self.run_id, attempt=int(result["attempt"]))
        except NotFound:
            return None


def _started(failed_attempt: int) -> dict[str, Any]:
    return {"attempt": failed_attempt + 1}


def _attempt_ended(run: WorkflowRun) -> bool:
    return run.status == "completed"
