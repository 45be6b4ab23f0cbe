"""The rehearsal of `clear-caches`: caches of one family go, all others stay."""

import re
from datetime import datetime

from deployments.demo.stage import Stage
from deployments.drill.cast import cast_for
from deployments.drill.rehearsal import Rehearsal, base_scenario, repository_in, require_no_freeze
from runbook.canonical import digest
from runbook.policy import Policy
from runbook.policy.estate import CacheKey
from runbook.requests import ClearCachesRequest, Mode

PROCEDURE = "clear-caches"
CACHES = 3
"""So many are to go, if the policy allows as many in one plan."""

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
# Where the policy says nothing of keys.
_FAMILY = CacheKey(family="pip", key="pip-${{ runner.os }}-${{ hashFiles('requirements.txt') }}")
_STAYING = "drill-stays"


def rehearsal(policy: Policy, repository: str | None, now: datetime) -> Rehearsal:
    """Prepare the rehearsal: a scenario with caches of the policy's families, of which the first is to go.

    Args:
        policy: The policy.
        repository: A repository that it names; its first one where None.
        now: The time.

    Raises:
        UsageError: The policy does not name the repository, freezes the procedure, or wants more approvals than
            it names people for.
    """
    name = policy.repository(repository or policy.repositories[0].name).name
    cast = cast_for(policy, procedure=PROCEDURE, repository=name)
    waits = policy.timings.settle_seconds
    require_no_freeze(policy, now, procedure=PROCEDURE, repository=name, wait_seconds=waits)
    families = policy.cache_keys or (_FAMILY,)
    prefix = prefix_of(families[0])
    count = min(CACHES, policy.caps.cache_deletions_per_plan, policy.caps.effects_per_plan)
    going = [rendered(families[0], number) for number in range(count)]
    others = [*(rendered(family, 0) for family in families[1:]), _STAYING]
    staying = [key for key in dict.fromkeys(others) if not key.startswith(prefix)]
    scenario = base_scenario(policy, cast, repository=name)
    branch = policy.repository(name).default_branch
    repository_in(scenario, name)["caches"] = [
        *(
            {"key": key, "ref": f"refs/pull/{number}/merge" if number else f"refs/heads/{branch}"}
            for number, key in enumerate(going)
        ),
        *({"key": key} for key in staying),
    ]

    def untouched(stage: Stage) -> dict[str, bool]:
        return {"no cache was deleted": sorted(_keys(stage, name, cast.requester)) == sorted(going + staying)}

    def restored(stage: Stage) -> dict[str, bool]:
        keys = _keys(stage, name, cast.requester)
        return {
            f"no cache whose key begins with {prefix} is left": not any(
                key.startswith(prefix) for key in keys
            ),
            "every other cache is still there": sorted(keys) == sorted(staying),
        }

    return Rehearsal(
        procedure=PROCEDURE,
        repository=name,
        cast=cast,
        scenario=scenario,
        request=ClearCachesRequest(repository=name, mode=Mode.APPLY, key_prefix=prefix),
        broken=f"{len(going)} caches of {name} whose keys begin with {prefix} count as corrupt",
        wait="nothing is waited for beyond the deletions",
        wait_seconds=waits,
        untouched=untouched,
        restored=restored,
    )


def rendered(family: CacheKey, number: int) -> str:
    """Return a key of a family as a workflow would have made it.

    Args:
        family: The family.
        number: Keys with different numbers come of different files.
    """

    def value(expression: re.Match[str]) -> str:
        of = expression[1]
        return "Linux" if of == "runner.os" else digest({"of": of, "number": number})[:32]

    return _EXPRESSION.sub(value, family.key)


def prefix_of(family: CacheKey) -> str:
    """Return what all keys of a family begin with: what stands before the first expression."""
    return family.key.partition("${{")[0] or rendered(family, 0)


def _keys(stage: Stage, repository: str, login: str) -> list[str]:
    answer = stage.as_person(login, "GET", f"/repos/{repository}/actions/caches?per_page=100")
    return [str(cache["key"]) for cache in answer["actions_caches"]]
