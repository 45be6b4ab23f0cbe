"""Runbook section "Clearing GitHub Actions Caches" (CM-06 to CM-10)."""

from prefect import State, flow

from flows.procedure import Nothing, Proposal, follow
from flows.run import Run, begin, place_of
from runbook.decisions.cache_selection import CacheSelection, plan_deletions, select_requested
from runbook.effects.actions_caches import DeleteCacheEntries, DeleteCacheEntry
from runbook.engine.engine import Ended, Outcome
from runbook.engine.plan import Plan, PlanView, Table
from runbook.engine.plans import StoredPlan
from runbook.errors import Conflict
from runbook.requests import ClearCachesRequest
from tasks.actions_caches import list_caches, verify_caches_gone

PROCEDURE = "clear-caches"


@flow(name=PROCEDURE, flow_run_name="clear {request.subject}", persist_result=False, log_prints=False)
def clear_caches(request: ClearCachesRequest) -> State[None]:
    """Delete Actions caches by id, key, key prefix, ref, or all of them.

    Lists every page first; the plan shows what would go, why, and what stays. Done means that none of the
    planned entries is listed any more.
    """
    run = begin(PROCEDURE, request)
    return follow(
        run,
        propose=lambda: _propose(run, request),
        verify=lambda plan, lease: verify_caches_gone(run.repository.name, planned_cache_ids(plan)),
        conclude=lambda plan, outcome: _conclude(run, plan, outcome),
    )


def cache_table(selection: CacheSelection) -> Table:
    """Show each cache that would go, with what people need to judge it."""
    return Table(
        title=(
            f"{counted(len(selection.chosen), 'cache')} would go ({megabytes(selection.freed_bytes)}), "
            f"{len(selection.staying)} stay ({megabytes(selection.staying_bytes)})"
        ),
        columns=("Key", "Ref", "Size", "Last used", "Why chosen"),
        rows=tuple(
            (
                chosen.cache.key,
                chosen.cache.ref,
                megabytes(chosen.cache.size_in_bytes),
                f"{chosen.cache.last_accessed_at:%Y-%m-%d %H:%M}",
                chosen.why,
            )
            for chosen in selection.chosen
        ),
    )


def counted(number: int, noun: str) -> str:
    """Write a number of things for people."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def megabytes(size_in_bytes: int) -> str:
    """Write a size for people."""
    return f"{size_in_bytes / 1_000_000:.1f} MB"


def planned_cache_ids(plan: StoredPlan) -> frozenset[int]:
    """Return the ids of every cache that a plan deletes."""
    ids: set[int] = set()
    for planned in plan.plan.effects:
        match planned.load():
            case DeleteCacheEntries(cache_ids=several):
                ids.update(several)
            case DeleteCacheEntry(cache_id=one):
                ids.add(one)
            case _:
                continue
    return frozenset(ids)


def _propose(run: Run, request: ClearCachesRequest) -> Proposal | Nothing:
    repository = run.repository.name
    selection = select_requested(list_caches(repository), request)
    if not selection.chosen:
        return Nothing(name="NothingToDo", reason=f"no cache of {repository} fits: {request.choice}")
    cap = run.here.policy.caps.cache_deletions_per_plan
    if len(selection.chosen) > cap:
        raise Conflict(
            f"{len(selection.chosen)} caches of {repository} fit; the policy allows {cap} in one plan.",
            unchanged="Nothing was changed.",
            next_step="choose fewer (by ref or key prefix), or raise caps.cache_deletions_per_plan",
        )
    scorecard = run.here.engine.plans.scorecard(remedy=PROCEDURE, failure_class="") if run.applying else None
    return Proposal(
        plan=Plan.of(
            procedure=PROCEDURE, repository=repository, effects=plan_deletions(repository, selection)
        ),
        view=PlanView(
            title=f"clear {counted(len(selection.chosen), 'cache')} of {repository}",
            why=f"Asked for: {request.choice}.",
            remedy=PROCEDURE,
            blast_radius="Builds that would have restored these caches start cold once and save new ones.",
            if_nobody_acts="The caches stay until GitHub evicts them, seven days after their last use.",
            history=scorecard.sentence() if scorecard else "",
            tables=(cache_table(selection),),
        ),
    )


def _conclude(run: Run, plan: StoredPlan, outcome: Outcome) -> None:
    if outcome.ended is Ended.DONE:
        run.close_issue(place_of(plan))
