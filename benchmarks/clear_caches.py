"""Clearing 1,000 Actions caches: calls made, limits used, refusals; beside the runbook's own loop.

Run as ``python -m benchmarks.clear_caches [--caches N] [--json]``. Both work on the sandbox's GitHub, which
enforces the documented limits, by a virtual clock that the client shares: hours of limits take seconds.
Every call is charged the same latency in virtual time. The share of the limit used is against its sustained rate
of 180 deletions a minute; it may pass 1 by a hair, because the first minute's allowance is there at once.
"""

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import requests
from pydantic import SecretStr

import sandbox
from runbook.clients.budget import Budget
from runbook.clients.github_client import GitHubClient
from runbook.clients.helm_client import HelmClient
from runbook.clients.kubernetes_client import KubernetesClient
from runbook.clock import VirtualClock
from runbook.decisions.cache_selection import plan_deletions, select_requested
from runbook.requests import ClearCachesRequest
from runbook.world import World

REPOSITORY = "acme/voice-agent"
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATENCY_SECONDS = 0.2
PAGE_SIZE = 100
WRITES_PER_MINUTE = 900 / 5
PYGITHUB_SECONDS_PER_WRITE = 1.0


@dataclass(frozen=True)
class Measured:
    """What clearing took, by the stand-in's request log and the virtual clock."""

    calls: int
    deletions: int
    refusals: int
    left: int
    seconds: float


def scenario(caches: int) -> Mapping[str, Any]:
    """Return a repository with ``caches`` entries, a tenth of them second versions of the same key and ref."""
    twice = caches // 20
    return {
        "bot": "runbook-bot",
        "repository": REPOSITORY,
        "users": {"runbook-bot": {}},
        "repositories": {
            REPOSITORY: {
                "roles": {"runbook-bot": "write"},
                "commits": [{"id": "start", "message": "Start", "author": "runbook-bot", "ago": "9d"}],
                "caches": [
                    {"key": "pip-{n}", "size": 1000, "count": caches - 2 * twice},
                    {"key": "npm-{n}", "size": 1000, "count": twice, "version": "a" * 64},
                    {"key": "npm-{n}", "size": 1000, "count": twice, "version": "b" * 64},
                ],
            }
        },
    }


class Latent(VirtualClock):
    """A virtual clock that calls move on by their latency."""

    def charge(self, calls: int = 1) -> None:
        """Let the latency of ``calls``, one after the other, pass."""
        self.sleep(calls * LATENCY_SECONDS)


def measured(box: sandbox.Box, clock: VirtualClock, left: int) -> Measured:
    """Count the stand-in's request log."""
    log = box.requests
    return Measured(
        calls=len(log),
        deletions=sum(entry["method"] == "DELETE" and entry["applied"] for entry in log),
        refusals=sum(entry["status"] in (403, 429) for entry in log),
        left=left,
        seconds=(clock.now() - START).total_seconds(),
    )


def product(caches: int) -> Measured:
    """Clear them as the procedure does: every page, then one call per distinct key and ref."""
    clock = Latent(START)
    with (
        sandbox.running(scenario(caches), clock=clock) as box,
        GitHubClient(
            token=SecretStr(box.token), api_url=box.url, clock=clock, budget=Budget(clock)
        ) as github,
    ):
        world = World(
            github=github,
            kubernetes=KubernetesClient(None),
            helm=HelmClient(None),
            product_login="runbook-bot",
            clock=clock,
        )
        request = ClearCachesRequest(repository=REPOSITORY, everything=True)
        selection = select_requested(github.list_caches(REPOSITORY), request)
        clock.charge(github.budget.calls()["GET"])
        for effect in plan_deletions(REPOSITORY, selection):
            effect.apply(world, repeated=False)
            clock.charge()
        return measured(box, clock, left=len(box.repository.caches))


def by_hand(caches: int, *, again_until_empty: bool) -> Measured:
    """Run the runbook's loop: list (the first page only), delete each listed id, whatever is answered.

    Args:
        caches: How many there are.
        again_until_empty: Start it anew as long as caches are left, as a person would who notices.
    """
    clock = Latent(START)
    with sandbox.running(scenario(caches), clock=clock) as box, requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {box.token}"
        path = f"{box.url}/repos/{REPOSITORY}/actions/caches"
        while box.repository.caches:
            clock.charge()
            listing = session.get(path, timeout=10)
            for cache in listing.json().get("actions_caches", []):
                clock.charge()
                session.delete(f"{path}/{cache['id']}", timeout=10)
            if not again_until_empty:
                break
        return measured(box, clock, left=len(box.repository.caches))


@dataclass(frozen=True)
class Comparison:
    """The product beside the runbook's loop, on ``caches`` entries of ``pairs`` distinct (key, ref)."""

    caches: int
    pairs: int
    ours: Measured
    once: Measured
    until_empty: Measured

    @property
    def least(self) -> int:
        """The fewest calls that can do it: every page, then one per distinct key and ref."""
        return self.pairs + math.ceil(self.caches / PAGE_SIZE)

    @property
    def ratios(self) -> dict[str, float]:
        """What the speed claim rests on."""
        return {
            "calls_to_least_possible": self.ours.calls / self.least,
            "of_the_binding_limit_used": self.pairs / WRITES_PER_MINUTE * 60 / self.ours.seconds,
            "refusals_to_calls": self.ours.refusals / self.ours.calls,
            "calls_by_hand_to_ours": self.until_empty.calls / self.ours.calls,
            "seconds_at_pygithubs_pace_to_ours": self.pairs * PYGITHUB_SECONDS_PER_WRITE / self.ours.seconds,
        }


def measure(caches: int) -> Comparison:
    """Clear that many caches in each way.

    Args:
        caches: How many; at least 20, so that some keys have two versions.
    """
    return Comparison(
        caches=caches,
        pairs=caches - caches // 20,
        ours=product(caches),
        once=by_hand(caches, again_until_empty=False),
        until_empty=by_hand(caches, again_until_empty=True),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--caches", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.caches)
    rows = {
        "runbook": found.ours,
        "loop by hand, once": found.once,
        "loop by hand, until empty": found.until_empty,
    }
    if options.json:
        print(json.dumps({"ratios": found.ratios, **{name: asdict(row) for name, row in rows.items()}}))
        return
    print(f"{found.caches} caches, {found.pairs} distinct (key, ref); least possible: {found.least} calls")
    print(f"{'':28}{'calls':>8}{'deleted':>9}{'403/429':>9}{'left':>7}{'virtual s':>11}")
    for name, row in rows.items():
        figures = f"{row.calls:>8}{row.deletions:>9}{row.refusals:>9}{row.left:>7}{row.seconds:>11.0f}"
        print(f"{name:28}{figures}")
    for name, ratio in found.ratios.items():
        print(f"{name.replace('_', ' ')}: {ratio:.2f}")


if __name__ == "__main__":
    main()
