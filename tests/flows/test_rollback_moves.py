"""RB-03: a digest that was asked for finds the revision whose tag the registry has it for, however old it is."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import cast

import pytest

from flows import rollback_moves
from flows.rollback_moves import LIKELY, way_of
from flows.run import Run
from runbook.decisions.last_known_good import GoodChoice, Sign
from runbook.decisions.revision_evidence import Evidence
from runbook.decisions.rollback_set import Move
from runbook.decisions.rollback_target import NoTarget, TargetRefused
from runbook.policy.estate import ImageRollback, Service
from runbook.standing import Standing
from runbook.workloads import Revision
from tests.runbook.decisions.workload_facts import IMAGE, NOW, revision, workload

REVISIONS = tuple(revision(number, f"v{number}", hours_ago=24 * (10 - number)) for number in range(9, 0, -1))
SERVICE = Service(
    name="tts", repository="acme/tts", namespace="voice-agent", image=IMAGE, dockerfile="Dockerfile"
)


def digest(one: Revision) -> str:
    """What the registry has its tag for."""
    return f"sha256:{one.number:064x}"


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The revisions that were looked up, in turn."""
    numbers: list[int] = []

    def read(
        service: Service, new: Sequence[Revision], versions: object, what: str
    ) -> Mapping[str, Evidence]:
        numbers.extend(one.number for one in new)
        return {one.name: Evidence(digest=digest(one), in_registry=Sign(holds=True)) for one in new}

    monkeypatch.setattr(rollback_moves, "read_evidence", read)
    monkeypatch.setattr(rollback_moves, "read_versions", lambda service, what: ())
    return numbers


def way_to(asked: str) -> GoodChoice | TargetRefused:
    """Find the way of a service whose nine revisions are named by tags alone."""
    engine = SimpleNamespace(
        exceptions=SimpleNamespace(barred=lambda repository: ()),
        entries=SimpleNamespace(settled=lambda kind, params: ()),
    )
    policy, clock = SimpleNamespace(image_rollback=ImageRollback()), SimpleNamespace(now=lambda: NOW)
    run = cast(Run, SimpleNamespace(here=SimpleNamespace(engine=engine, policy=policy, clock=clock)))
    standing = Standing(
        service="tts",
        workload=workload(template=REVISIONS[0].template),
        revisions=REVISIONS,
        autoscaler=None,
        pods=(),
    )
    move = Move(namespace="voice-agent", release="", services=("tts",))
    return way_of(run, move, [SERVICE], {"tts": standing}, {"tts": asked}).target


def test_a_digest_that_was_asked_for_is_looked_for_among_all_that_are_kept(looked_up: list[int]) -> None:
    target = way_to(digest(REVISIONS[6]))
    assert isinstance(target, GoodChoice)
    assert target.revision.number == 3
    assert looked_up == [one.number for one in REVISIONS]


def test_the_digest_that_runs_now_is_no_way_back(looked_up: list[int]) -> None:
    target = way_to(digest(REVISIONS[0]))
    assert isinstance(target, TargetRefused)
    assert target.why is NoTarget.ALREADY_CURRENT


def test_for_the_last_known_good_one_a_few_are_enough(looked_up: list[int]) -> None:
    target = way_to("last known good")
    assert isinstance(target, GoodChoice)
    assert target.revision.number == 8
    assert len(looked_up) == 1 + LIKELY
