"""The pause of a sync, on the stand-in: what was there is put back exactly, and only what is still ours."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runbook.clients.kubernetes_client import MOST_WRITES
from runbook.decisions.gitops import auto_sync, owner_of
from runbook.effects.gitops import PauseGitOpsSync
from runbook.engine.effects import Found
from runbook.errors import Conflict, NotFound
from runbook.workloads import WorkloadKind, WorkloadRef
from runbook.world import World
from tests.runbook.effects.workload_samples import NAMESPACE, WORKLOADS, sync_pause
from tests.runbook.engine.desk import SCENARIO, Desk, open_desk

REVISIONS = [{"image": "ghcr.io/acme/x:v1", "ago": "1d"}]
CLUSTER = {
    "namespaces": {
        NAMESPACE: {
            "workloads": {
                **WORKLOADS,
                "kustomized": {"revisions": REVISIONS, "flux": {"kustomization": "apps"}},
                "released": {"revisions": REVISIONS, "flux": {"helm_release": "app", "suspend": False}},
            }
        }
    }
}
NAMES = ("agent-service", "kustomized", "released")
PLACES = {
    "agent-service": ("applications.argoproj.io", "argocd", "agent"),
    "kustomized": ("kustomizations.kustomize.toolkit.fluxcd.io", "flux-system", "apps"),
    "released": ("helmreleases.helm.toolkit.fluxcd.io", "flux-system", "app"),
}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An engine on a sandbox with a cluster."""
    with open_desk(tmp_path, {**SCENARIO, "kubernetes": CLUSTER}) as opened:
        yield opened


@pytest.fixture
def world(desk: Desk) -> World:
    """What the effect acts through."""
    return desk.engine.world


def ref(name: str) -> WorkloadRef:
    return WorkloadRef(kind=WorkloadKind.DEPLOYMENT, namespace=NAMESPACE, name=name)


def spec(desk: Desk, name: str) -> dict[str, Any]:
    """Return the owner's spec as the cluster has it."""
    thing = desk.box.kubernetes.state.find(*PLACES[name])
    assert thing is not None
    held: dict[str, Any] = thing.body["spec"]
    return held


def set_spec(desk: Desk, name: str, changed: dict[str, Any]) -> None:
    """Have somebody write the owner's spec."""
    state = desk.box.kubernetes.state
    with state.lock:
        thing = state.find(*PLACES[name])
        assert thing is not None
        body = state.shown(thing)
        body["spec"] = changed
        state.replace(thing, body)


@pytest.mark.parametrize("name", NAMES)
def test_a_sync_is_paused_and_put_back_exactly_as_it_was(desk: Desk, world: World, name: str) -> None:
    before = dict(spec(desk, name))
    effect = sync_pause(world.kubernetes, ref(name))
    assert effect.precondition(world).holds
    assert effect.probe(world).found is Found.NOT_DONE
    result = effect.apply(world, repeated=False)
    assert effect.probe(world).found is Found.DONE
    assert not auto_sync(effect.owner, {"spec": spec(desk, name)}).automatic
    assert effect.probe_undo(world, result).found is Found.NOT_DONE
    # Even of an effect whose answer was lost: its parameters know what was there.
    effect.undo(world, {})
    assert spec(desk, name) == before
    assert effect.probe_undo(world, result).found is Found.DONE


@pytest.mark.parametrize(
    ("name", "meanwhile"),
    [
        ("agent-service", {"syncPolicy": {"automated": {"selfHeal": False}}}),
        ("agent-service", {"syncPolicy": {"automated": {"prune": True, "selfHeal": True}}, "project": "p"}),
        ("kustomized", {"suspend": False}),
        ("kustomized", {"interval": "1m"}),
        ("released", {}),
    ],
)
def test_what_somebody_set_meanwhile_is_theirs_and_stays(
    desk: Desk, world: World, name: str, meanwhile: dict[str, Any]
) -> None:
    effect = sync_pause(world.kubernetes, ref(name))
    result = effect.apply(world, repeated=False)
    set_spec(desk, name, meanwhile)
    assert effect.probe_undo(world, result).found is Found.DONE
    effect.undo(world, result)
    assert spec(desk, name) == meanwhile


def test_a_sync_policy_that_was_taken_away_as_a_whole_gets_its_block_back(desk: Desk, world: World) -> None:
    effect = sync_pause(world.kubernetes)
    effect.apply(world, repeated=False)
    set_spec(desk, "agent-service", {"project": "default"})
    effect.undo(world, {})
    assert spec(desk, "agent-service") == {
        "project": "default",
        "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_sync_that_somebody_changed_since_the_plan_is_left_alone(
    desk: Desk, world: World, name: str
) -> None:
    effect = sync_pause(world.kubernetes, ref(name))
    changed = {"syncPolicy": {"automated": {"prune": False}}, "suspend": name == "kustomized" or None}
    set_spec(desk, name, changed)
    assert not effect.precondition(world).holds
    with pytest.raises(Conflict):
        effect.apply(world, repeated=False)
    assert spec(desk, name) == changed


def test_a_write_that_comes_between_our_read_and_ours_is_not_overwritten(desk: Desk, world: World) -> None:
    effect = sync_pause(world.kubernetes)
    original = world.kubernetes.custom_object
    changed = {"syncPolicy": {"automated": {"prune": False}}}

    def read_and_lose_the_race(
        group: str, version: str, namespace: str, plural: str, name: str
    ) -> dict[str, Any]:
        seen = original(group, version, namespace, plural, name)
        set_spec(desk, "agent-service", changed)
        return seen

    world.kubernetes.custom_object = read_and_lose_the_race  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        effect.apply(world, repeated=False)
    assert spec(desk, "agent-service") == changed


def write_after_each_read(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch, name: str, times: int
) -> None:
    """Have the owner's controller note something on it between our read and our write, so many times."""
    original, state, left = world.kubernetes.custom_object, desk.box.kubernetes.state, [times]

    def read_and_lose_the_race(*names: str) -> dict[str, Any]:
        seen = original(*names)
        if left[0]:
            left[0] -= 1
            with state.lock:
                thing = state.find(*PLACES[name])
                assert thing is not None
                body = state.shown(thing)
                body.setdefault("metadata", {}).setdefault("annotations", {})["noted"] = str(left[0])
                state.replace(thing, body)
        return seen

    monkeypatch.setattr(world.kubernetes, "custom_object", read_and_lose_the_race)


@pytest.mark.parametrize("name", NAMES)
def test_a_write_that_leaves_its_sync_alone_does_not_keep_us_from_pausing_it_or_setting_it_back(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Argo CD notes its status on the Application itself, every moment."""
    before = dict(spec(desk, name))
    effect = sync_pause(world.kubernetes, ref(name))
    write_after_each_read(desk, world, monkeypatch, name, MOST_WRITES - 1)
    result = effect.apply(world, repeated=False)
    assert effect.probe(world).found is Found.DONE
    write_after_each_read(desk, world, monkeypatch, name, MOST_WRITES - 1)
    effect.undo(world, result)
    assert spec(desk, name) == before


def test_an_owner_that_is_written_without_end_is_given_up(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    effect = sync_pause(world.kubernetes)
    write_after_each_read(desk, world, monkeypatch, "agent-service", MOST_WRITES)
    with pytest.raises(Conflict, match="409"):
        effect.apply(world, repeated=False)
    assert effect.precondition(world).holds


def test_what_somebody_set_between_our_read_and_our_undo_is_theirs_and_stays(
    desk: Desk, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    effect = sync_pause(world.kubernetes)
    result = effect.apply(world, repeated=False)
    original, changed = world.kubernetes.custom_object, {"syncPolicy": {"automated": {"prune": False}}}

    def read_and_lose_the_race(*names: str) -> dict[str, Any]:
        seen = original(*names)
        set_spec(desk, "agent-service", changed)
        return seen

    monkeypatch.setattr(world.kubernetes, "custom_object", read_and_lose_the_race)
    effect.undo(world, result)
    assert spec(desk, "agent-service") == changed


def test_an_owner_that_was_made_anew_is_not_the_one_that_was_paused(desk: Desk, world: World) -> None:
    effect = sync_pause(world.kubernetes)
    effect.apply(world, repeated=False)
    thing = desk.box.kubernetes.state.find(*PLACES["agent-service"])
    assert thing is not None
    thing.body["metadata"]["uid"] = "another"
    assert effect.probe_undo(world, {}).found is Found.DONE
    assert not effect.precondition(world).holds
    desk.box.kubernetes.state.remove(thing)
    assert effect.probe_undo(world, {}).found is Found.DONE
    assert effect.probe(world).found is Found.UNKNOWN
    with pytest.raises(NotFound):
        effect.undo(world, {})


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"ownerReferences": [{"kind": "ApplicationSet", "name": "all"}]}, "the ApplicationSet all"),
        (
            {"annotations": {"argocd.argoproj.io/tracking-id": "root:argoproj.io/Application:argocd/agent"}},
            "root",
        ),
        ({"labels": {"argocd.argoproj.io/instance": "root"}}, "the Application root applies it"),
    ],
)
def test_a_sync_that_something_else_would_switch_on_again_is_not_paused(
    world: World, metadata: dict[str, Any], said: str
) -> None:
    owner = owner_of(world.kubernetes.workload(ref("agent-service")))
    assert owner is not None
    found = {"metadata": {"uid": "u", **metadata}, "spec": {"syncPolicy": {"automated": {}}}}
    with pytest.raises(Conflict) as raised:
        PauseGitOpsSync.of(owner, found)
    assert said in raised.value.message


def test_flux_is_only_set_back_where_its_source_says_suspend(world: World) -> None:
    owner = owner_of(world.kubernetes.workload(ref("kustomized")))
    assert owner is not None
    applied = {"uid": "u", "labels": {"kustomize.toolkit.fluxcd.io/name": "flux-system"}}
    assert PauseGitOpsSync.of(owner, {"metadata": applied, "spec": {}}).was is None
    with pytest.raises(Conflict):
        PauseGitOpsSync.of(owner, {"metadata": applied, "spec": {"suspend": False}})


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "agent-service",
            "kubectl patch applications.argoproj.io agent --namespace argocd --type json "
            '--patch [{"op": "remove", "path": "/spec/syncPolicy/automated"}]',
        ),
        (
            "kustomized",
            "kubectl patch kustomizations.kustomize.toolkit.fluxcd.io apps --namespace flux-system --type merge "
            '--patch {"spec": {"suspend": true}}',
        ),
    ],
)
def test_people_read_kubectls_line(world: World, name: str, line: str) -> None:
    assert " ".join(sync_pause(world.kubernetes, ref(name)).command_line()) == line
