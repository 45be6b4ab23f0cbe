"""How tasks retry: only what the product's own errors call transient, and never from a stored result."""

from collections.abc import Callable
from typing import Any, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import State, TaskRun

from runbook.errors import Transient

RETRIES = 2
RETRY_DELAYS_SECONDS = [2.0, 10.0]
"""Longer outages are bridged by the sweeper, which revives the run."""

F = TypeVar("F", bound=Callable[..., Any])


# A plain function: a partial or a bound method silently never retries (Prefect 3.8.8).
def is_transient(_task: Task[Any, Any], _task_run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed task may be tried again."""
    return isinstance(state.data, Transient)


def system_task(name: str, *, run_name: str) -> Callable[[F], F]:
    """Declare a read or an effect of an outside system as a Prefect task.

    Results are neither cached nor kept: a flow that is resumed must see the world as it is, not as it was.

    Args:
        name: Verb and noun.
        run_name: Names each run after what it touches; a template over the task's arguments.
    """
    return task(  # type: ignore[return-value]
        name=name,
        task_run_name=run_name,
        retries=RETRIES,
        retry_delay_seconds=RETRY_DELAYS_SECONDS,
        retry_condition_fn=is_transient,
        cache_policy=NO_CACHE,
        persist_result=False,
        log_prints=False,
    )
