"""The rollback of a Helm release, on the stand-in's program: where the history leaves no doubt, and where it does."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from runbook.clients.helm_client import HelmTimeouts
from runbook.effects.releases import RollBackRelease
from runbook.engine.effects import Found, load_effect
from runbook.engine.engine import Ended, Outcome, Verification
from runbook.engine.states import EffectState
from runbook.errors import Ambiguous, Conflict
from runbook.world import World
from sandbox.helm.releases import ReleaseWorkload
from tests.runbook.effects.cluster_samples import (
    BAD,
    CLUSTER,
    GOOD,
    NAMESPACE,
    RELEASE,
    WORKLOAD,
    helm_of,
    image_of,
    release_of,
    release_rollback,
)
from tests.runbook.engine.desk import SCENARIO, Desk, open_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An engine on a sandbox with a cluster."""
    with open_desk(tmp_path, {**SCENARIO, "kubernetes": CLUSTER}) as opened:
        yield opened


@pytest.fixture
def world(desk: Desk) -> World:
    """What the effect acts through."""
    return desk.engine.world


@pytest.fixture
def effect(desk: Desk) -> RollBackRelease:
    """From revision 2, which is bad, to 1."""
    return release_rollback(desk.box)


def statuses(desk: Desk) -> list[tuple[str, str]]:
    """Status and description of each revision."""
    return [(one.status, one.description) for one in release_of(desk.box).revisions]


def upgrade(desk: Desk, image: str, **more: str) -> None:
    """Have somebody else upgrade the release."""
    workload = ReleaseWorkload(WORKLOAD, image)
    desk.box.kubernetes.state.releases.upgrade(NAMESPACE, RELEASE, (workload,), **more)


def carried_out(desk: Desk, effect: RollBackRelease, *, verified: bool) -> Outcome:
    """Apply a plan of this effect alone."""
    plan = desk.show(effect, passed=True)
    verdict = Verification(passed=verified, reason="looked")
    return desk.engine.apply(plan, verify=lambda lease: verdict)


def rollbacks_sent(desk: Desk) -> int:
    """How often helm's program asked for a rollback."""
    return sum(one["path"] == "/helm/rollback" for one in desk.box.kubernetes.requests)


def test_a_release_is_rolled_back_as_a_new_revision(desk: Desk, effect: RollBackRelease) -> None:
    outcome = carried_out(desk, effect, verified=True)
    assert outcome.ended is Ended.DONE
    assert statuses(desk) == [
        ("superseded", "Install complete"),
        ("superseded", "Upgrade complete"),
        ("deployed", "Rollback to 1"),
    ]
    assert image_of(desk.box) == GOOD


def test_an_unverified_rollback_goes_back_to_the_revision_it_came_from_by_its_number(
    desk: Desk, effect: RollBackRelease
) -> None:
    outcome = carried_out(desk, effect, verified=False)
    assert [entry.state for entry in outcome.entries] == [EffectState.UNDONE]
    assert statuses(desk)[2:] == [("superseded", "Rollback to 1"), ("deployed", "Rollback to 2")]
    assert image_of(desk.box) == BAD


def test_what_somebody_deployed_after_the_gate_is_not_overwritten(
    desk: Desk, effect: RollBackRelease
) -> None:
    plan = desk.show(effect, passed=True)
    upgrade(desk, "ghcr.io/acme/tts:v3-hotfix")
    outcome = desk.engine.apply(plan, verify=lambda lease: Verification(passed=True, reason="looked"))
    assert outcome.ended is Ended.UNDONE
    assert [entry.state for entry in outcome.entries] == [EffectState.REFUSED]
    assert "somebody changed the release: now revision 3" in outcome.reason
    assert (image_of(desk.box), rollbacks_sent(desk)) == ("ghcr.io/acme/tts:v3-hotfix", 0)


def test_what_somebody_deployed_in_the_moment_of_sending_is_seen_and_its_undo_left_to_a_person(
    desk: Desk, world: World, effect: RollBackRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Helm takes no guard: the number that the history gives the rollback tells it."""
    send = world.helm.rollback

    def lose_the_race(release: str, namespace: str, revision: int) -> None:
        upgrade(desk, "ghcr.io/acme/tts:v3-hotfix")
        send(release, namespace, revision)

    monkeypatch.setattr(world.helm, "rollback", lose_the_race)
    result = effect.apply(world, repeated=False)
    assert result == {"revision": 4}
    with pytest.raises(Conflict, match="revision 3 came between"):
        effect.undo(world, result)
    assert (image_of(desk.box), rollbacks_sent(desk)) == (GOOD, 1)


def test_a_rollback_whose_history_cannot_be_read_afterwards_is_in_doubt(
    desk: Desk, world: World, effect: RollBackRelease, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = world.helm.rollback

    def send_and_go_away(release: str, namespace: str, revision: int) -> None:
        send(release, namespace, revision)
        desk.box.kubernetes.fail("500_before", method="POST", path_regex="/helm/history")

    monkeypatch.setattr(world.helm, "rollback", send_and_go_away)
    with pytest.raises(Ambiguous, match="its history could not be read"):
        effect.apply(world, repeated=False)
    assert effect.probe(world).result == {"revision": 3}


def test_what_somebody_deployed_since_is_not_undone(
    desk: Desk, world: World, effect: RollBackRelease
) -> None:
    result = effect.apply(world, repeated=False)
    upgrade(desk, "ghcr.io/acme/tts:v3")
    with pytest.raises(Conflict, match="revision 4"):
        effect.undo(world, result)
    assert image_of(desk.box) == "ghcr.io/acme/tts:v3"
    assert effect.probe_undo(world, result).found is Found.UNKNOWN


def test_the_same_images_under_a_later_revision_are_not_ours_to_undo(
    desk: Desk, world: World, effect: RollBackRelease
) -> None:
    result = effect.apply(world, repeated=False)
    upgrade(desk, GOOD)
    with pytest.raises(Conflict):
        effect.undo(world, result)


@pytest.mark.parametrize(
    ("status", "word"),
    [("deployed", "somebody changed"), ("failed", "somebody changed"), ("pending-upgrade", "not ended")],
)
def test_a_release_that_moved_since_the_plan_voids_it(
    desk: Desk, world: World, effect: RollBackRelease, status: str, word: str
) -> None:
    assert effect.precondition(world).holds
    upgrade(desk, "ghcr.io/acme/tts:v3", status=status)
    seen = effect.precondition(world)
    assert not seen.holds
    assert word in seen.detail


def test_a_release_that_was_installed_anew_is_told_by_its_manifests(
    desk: Desk, world: World, effect: RollBackRelease
) -> None:
    release = release_of(desk.box)
    release.revisions[1].workloads = (ReleaseWorkload(WORKLOAD, "ghcr.io/acme/tts:other"),)
    assert not effect.precondition(world).holds
    release.revisions[1].workloads = (ReleaseWorkload(WORKLOAD, BAD),)
    release.revisions[0].workloads = (ReleaseWorkload(WORKLOAD, "ghcr.io/acme/tts:other"),)
    assert "is another one now" in effect.precondition(world).detail


@pytest.mark.parametrize("status", ["uninstalled", "uninstalling"])
def test_a_release_that_was_removed_is_left_alone(
    desk: Desk, world: World, effect: RollBackRelease, status: str
) -> None:
    release_of(desk.box).last.status = status
    assert "it was uninstalled" in effect.precondition(world).detail


def test_a_pruned_target_or_a_release_that_is_gone_voids_the_plan(
    desk: Desk, world: World, effect: RollBackRelease
) -> None:
    del release_of(desk.box).revisions[0]
    assert not effect.precondition(world).holds
    desk.box.kubernetes.state.releases.known.clear()
    assert not effect.precondition(world).holds
    assert effect.probe(world).found is Found.UNKNOWN


def test_a_failed_upgrade_is_where_a_rollback_may_start(desk: Desk, world: World) -> None:
    release_of(desk.box).last.status = "failed"
    effect = release_rollback(desk.box)
    assert effect.precondition(world).holds
    assert effect.probe(world).found is Found.NOT_DONE
    effect.apply(world, repeated=False)
    assert effect.probe(world).found is Found.DONE


def test_a_rollback_that_somebody_else_made_is_found_and_not_ours_to_undo(
    desk: Desk, world: World, effect: RollBackRelease
) -> None:
    world.helm.rollback(RELEASE, NAMESPACE, 1)
    outcome = carried_out(desk, effect, verified=False)
    assert [entry.state for entry in outcome.entries] == [EffectState.FOUND]
    assert rollbacks_sent(desk) == 1


def test_a_rollback_that_failed_half_way_is_neither_done_nor_to_be_sent_again(
    desk: Desk, world: World, effect: RollBackRelease
) -> None:
    release_of(desk.box).next_rollback = "fails"
    with pytest.raises(Ambiguous, match="failed calling webhook"):
        effect.apply(world, repeated=False)
    seen = effect.probe(world)
    assert seen.found is Found.UNKNOWN
    assert 'revision 3 (failed, Rollback "tts" failed: ' in seen.detail


def test_a_program_that_is_killed_in_the_middle_leaves_a_pending_release_to_a_person(
    desk: Desk, world: World, effect: RollBackRelease
) -> None:
    release_of(desk.box).next_rollback = "hangs"
    with pytest.raises(Ambiguous, match="had not ended"):
        helm_of(desk.box, HelmTimeouts(rollback_seconds=0.5)).rollback(RELEASE, NAMESPACE, 1)
    seen = effect.probe(world)
    assert seen.found is Found.UNKNOWN
    assert "pending-rollback" in seen.detail
    assert rollbacks_sent(desk) == 1


def test_a_result_that_was_found_by_a_probe_is_what_its_undo_needs(
    desk: Desk, world: World, effect: RollBackRelease
) -> None:
    applied = effect.apply(world, repeated=False)
    assert effect.probe(world).result == applied == {"revision": 3}
    assert effect.probe_undo(world, applied).found is Found.NOT_DONE
    effect.undo(world, applied)
    assert effect.probe_undo(world, applied).found is Found.DONE


def test_the_effect_survives_the_journal_and_says_what_changes(effect: RollBackRelease) -> None:
    assert load_effect(effect.kind, effect.params()) == effect
    assert effect.describe() == (f"roll release tts in voice back from revision 2 to 1: {BAD} becomes {GOOD}")
    assert effect.target == "release:voice/tts"
    assert effect.command_line() == (
        *("helm", "rollback", "tts", "1", "--namespace=voice", "--history-max=0"),
    )
