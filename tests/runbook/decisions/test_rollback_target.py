"""RB-03 and RB-04: what was asked for is found, or refused with the way out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.last_known_good import Candidate, GoodChoice, Sign
from runbook.decisions.rollback_target import NoTarget, TargetRefused, target_of
from runbook.decisions.time_served import TimeServed
from runbook.policy.estate import ImageRollback
from runbook.requests import LAST_KNOWN_GOOD
from runbook.workloads import ContainerImage, Revision, Template
from tests.runbook.decisions.workload_facts import IMAGE, NOW, revision

RULES = ImageRollback()
D = "sha256:" + "d" * 64
E = "sha256:" + "e" * 64
CURRENT = revision(9, "v9", hours_ago=1)


def _digested(number: int) -> Revision:
    images = (
        ContainerImage(container="app", image=f"{IMAGE}@{D}"),
        ContainerImage(container="proxy", image="ghcr.io/acme/proxy:p1"),
    )
    return Revision(
        number=number,
        name=f"tts-{number}",
        created_at=NOW,
        change_cause="",
        template=Template(digest=f"t-{number}", images=images),
    )


def _candidate(one: Revision, *, barred: str = "") -> Candidate:
    return Candidate(
        revision=one,
        served=TimeServed(seconds=9999, detail="long"),
        in_registry=Sign(holds=True, detail="there"),
        barred=barred,
    )


CANDIDATES = [
    _candidate(CURRENT),
    _candidate(revision(8, "v8", hours_ago=2), barred="rolled back in incident 7"),
    _candidate(revision(7, "v7", hours_ago=3)),
    _candidate(revision(6, "v7", hours_ago=4, name="tts-v7-other")),
    _candidate(_digested(5)),
    _candidate(revision(3, "7", hours_ago=6)),
]


def target(asked: str) -> GoodChoice | TargetRefused:
    return target_of(asked, CANDIDATES, RULES, current=CURRENT, images=[IMAGE])


@pytest.mark.parametrize(
    ("asked", "number", "reason"),
    [
        ("7", 7, "revision 7 was asked for"),  # the number, not the tag of revision 3
        (" 5 ", 5, "revision 5 was asked for"),
        ("v7", 7, "v7 was asked for"),  # the newer of two
        (D, 5, f"{D} was asked for"),
        (LAST_KNOWN_GOOD, 7, "the newest good revision"),
        ("Last Known Good", 7, "the newest good revision"),
    ],
)
def test_a_number_a_tag_or_a_digest_finds_its_revision(asked: str, number: int, reason: str) -> None:
    found = target(asked)
    assert isinstance(found, GoodChoice)
    assert found.revision.number == number
    assert found.reason.startswith(reason)


@pytest.mark.parametrize(
    ("asked", "why", "said", "way_out"),
    [
        ("9", NoTarget.ALREADY_CURRENT, "9 is what runs now", "8, 7, 6, 5, 3"),
        ("v9", NoTarget.ALREADY_CURRENT, "v9 is what runs now (revision 9)", "by its number"),
        ("8", NoTarget.BARRED, "incident 7", "end the bar first"),
        ("v8", NoTarget.BARRED, "incident 7", "end the bar first"),
        ("2", NoTarget.GARBAGE_COLLECTED, "revision 2 is no longer kept", "8, 7, 6, 5, 3"),
        ("4", NoTarget.GARBAGE_COLLECTED, "no longer kept under that number", "8, 7, 6, 5, 3"),
        ("10", NoTarget.UNKNOWN_REVISION, "10", "8, 7, 6, 5, 3"),
        ("0", NoTarget.UNKNOWN_REVISION, "0", "8, 7, 6, 5, 3"),
        ("v99", NoTarget.UNKNOWN_REVISION, "v99", "8, 7, 6, 5, 3"),
        ("p1", NoTarget.UNKNOWN_REVISION, "p1", "8, 7, 6, 5, 3"),  # another container's tag
        ("9" * 128, NoTarget.UNKNOWN_REVISION, "999", "kept beside"),
        ("sha256:" + "e" * 64, NoTarget.UNKNOWN_REVISION, "eee", "kept beside"),
        ("sha256:abc", NoTarget.MALFORMED, "no tag and no digest", "leave it out"),
        ("v7; rm -rf /", NoTarget.MALFORMED, "no tag", "leave it out"),
        ("--to-revision=1", NoTarget.MALFORMED, "no tag", "leave it out"),
        ("", NoTarget.MALFORMED, "no tag", "leave it out"),
        ("\u0664", NoTarget.MALFORMED, "no tag", "leave it out"),
    ],
)
def test_what_cannot_be_gone_back_to_is_refused_with_the_way_out(
    asked: str, why: NoTarget, said: str, way_out: str
) -> None:
    found = target(asked)
    assert isinstance(found, TargetRefused)
    assert found.why is why
    assert said in found.reason
    assert way_out in found.next_step


def test_a_digest_finds_the_revision_whose_tag_has_it_in_the_registry() -> None:
    known = [one.model_copy(update={"digests": (f"sha256:{'f' * 64}", E)}) for one in CANDIDATES[2:3]]
    found = target_of(E, [*known, *CANDIDATES[3:]], RULES, current=CURRENT, images=[IMAGE])
    assert isinstance(found, GoodChoice)
    assert found.revision.number == 7
    assert isinstance(target(E), TargetRefused)
    barred = [one.model_copy(update={"barred": "bad"}) for one in known]
    refused = target_of(E, barred, RULES, current=CURRENT, images=[IMAGE])
    assert isinstance(refused, TargetRefused)
    assert refused.why is NoTarget.BARRED


def test_a_digest_that_runs_now_under_a_tag_is_what_runs_now() -> None:
    found = target_of(E, CANDIDATES, RULES, current=CURRENT, images=[IMAGE], current_digests=[E])
    assert isinstance(found, TargetRefused)
    assert found.why is NoTarget.ALREADY_CURRENT


def test_an_image_that_the_registry_no_longer_has_is_not_gone_back_to_even_if_asked_for() -> None:
    gone = CANDIDATES[2].model_copy(
        update={"in_registry": Sign(holds=False, detail="no longer in the registry")}
    )
    found = target_of("7", [CANDIDATES[0], gone], RULES, current=CURRENT, images=[IMAGE])
    assert isinstance(found, TargetRefused)
    assert found.why is NoTarget.IMAGE_GONE
    assert "no longer in the registry" in found.reason
    unknown = gone.model_copy(update={"in_registry": Sign(detail="the registry is away")})
    assert isinstance(target_of("7", [unknown], RULES, current=CURRENT, images=[IMAGE]), GoodChoice), (
        "what nobody knows keeps nobody from what they ask for"
    )


def test_where_none_is_good_each_one_says_why() -> None:
    found = target_of(LAST_KNOWN_GOOD, [CANDIDATES[1]], RULES, current=CURRENT, images=[IMAGE])
    assert isinstance(found, TargetRefused)
    assert found.why is NoTarget.NONE_GOOD
    assert [one.detail for one in found.rejected] == ["rolled back in incident 7"]
    assert (
        f"revision {CANDIDATES[1].revision.number}: its image is barred (rolled back in incident 7)"
        in found.reason
    )


def test_where_no_container_has_the_policys_image_any_containers_tag_counts() -> None:
    found = target_of("v7", CANDIDATES, RULES, current=CURRENT, images=["ghcr.io/acme/renamed"])
    assert isinstance(found, GoodChoice)


def test_a_service_with_one_revision_has_nothing_to_go_back_to() -> None:
    for asked in ("8", LAST_KNOWN_GOOD):
        found = target_of(asked, [_candidate(CURRENT)], RULES, current=CURRENT, images=[IMAGE])
        assert isinstance(found, TargetRefused)
        assert found.why in (NoTarget.GARBAGE_COLLECTED, NoTarget.NONE_GOOD)


@given(st.text(max_size=40))
def test_nothing_that_is_asked_for_gets_the_current_or_a_barred_revision(asked: str) -> None:
    found = target(asked)
    if isinstance(found, GoodChoice):
        assert found.revision.number in (7, 6, 5, 3)
