"""The product's rollback of a release, on both: what its probes make of the history that Helm really leaves."""

from dataclasses import replace

import pytest
from pydantic import SecretStr

from runbook.clients.github_client import GitHubClient
from runbook.clients.kubernetes_client import KubernetesClient
from runbook.clock import SystemClock
from runbook.decisions.releases import ReleaseLeft, as_revision, release_candidates, standing_of
from runbook.effects.releases import RollBackRelease
from runbook.engine.effects import Found
from runbook.errors import Ambiguous, Conflict
from runbook.world import World
from tests.contracts.helm.systems import System
from tests.contracts.helm.test_releases import GOOD, NEXT, RECORDS, objects


@pytest.fixture
def world(system: System) -> World:
    """The cluster alone: the effect needs no GitHub."""
    clock = SystemClock()
    github = GitHubClient(token=SecretStr("none"), api_url="http://127.0.0.1:9", clock=clock)
    return World(
        github=github,
        kubernetes=KubernetesClient(None),
        helm=system.client(),
        product_login="runbook-bot",
        clock=clock,
    )


def planned(world: World, namespace: str, *, to: int) -> RollBackRelease:
    """The effect as a plan made now would name it."""
    history = world.helm.history("tts", namespace)
    before, after = (
        as_revision(one, world.helm.manifest("tts", namespace, one.revision))
        for one in (history[-1], next(one for one in history if one.revision == to))
    )
    return RollBackRelease.of("tts", namespace, before=before, after=after)


def test_a_rollback_is_seen_done_and_its_undo_too(system: System, world: World) -> None:
    system.install("tts", GOOD)
    system.upgrade("tts", NEXT)
    effect = planned(world, system.namespace, to=1)
    assert effect.precondition(world).holds
    assert effect.probe(world).found is Found.NOT_DONE

    result = effect.apply(world, repeated=False)
    seen = effect.probe(world)
    assert (seen.found, seen.result) == (Found.DONE, result)
    assert system.image("tts") == GOOD

    assert effect.probe_undo(world, result).found is Found.NOT_DONE
    effect.undo(world, result)
    assert effect.probe_undo(world, result).found is Found.DONE
    assert system.image("tts") == NEXT
    assert world.helm.history("tts", system.namespace)[-1].description == "Rollback to 2"


def test_a_rollback_out_of_a_failed_upgrade_goes_back_to_what_was_in_service(
    system: System, world: World
) -> None:
    system.install("tts", GOOD)
    system.upgrade_in_vain("tts")
    history = world.helm.history("tts", system.namespace)
    manifests = {one.revision: world.helm.manifest("tts", system.namespace, one.revision) for one in history}
    (good,) = release_candidates(history, manifests, now=world.clock.now())
    effect = planned(world, system.namespace, to=good.revision.number)
    effect.apply(world, repeated=False)
    assert effect.probe(world).found is Found.DONE
    assert system.image("tts") == GOOD


def test_a_release_left_pending_is_reported_and_untouched(system: System, world: World) -> None:
    system.install("tts", GOOD)
    system.upgrade("tts", NEXT)
    effect = planned(world, system.namespace, to=1)
    system.upgrade_killed("tts")

    left = standing_of(world.helm.history("tts", system.namespace))
    assert isinstance(left, ReleaseLeft)
    assert "revision 3 is pending-upgrade" in left.reason
    assert not effect.precondition(world).holds
    assert effect.probe(world).found is Found.UNKNOWN
    with pytest.raises(Conflict):
        effect.undo(world, {"revision": 2})
    assert len(world.helm.history("tts", system.namespace)) == 3


def test_a_rollback_that_failed_half_way_is_neither_done_nor_not_done(system: System, world: World) -> None:
    system.install("tts", GOOD)
    system.upgrade("tts", NEXT)
    effect = planned(world, system.namespace, to=1)
    limited = system.client(kubeconfig=system.account(RECORDS, objects("get")))
    with pytest.raises(Ambiguous):
        effect.apply(replace(world, helm=limited), repeated=False)
    seen = effect.probe(world)
    assert seen.found is Found.UNKNOWN
    assert "revision 3 (failed" in seen.detail
