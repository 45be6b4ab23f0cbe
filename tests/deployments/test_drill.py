"""Drills: who plays, what the sandbox is given, what is refused before anything starts."""

import json
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.cli import run
from deployments.drill.cast import cast_for
from deployments.drill.clear_caches import prefix_of, rendered
from deployments.drill.procedures import REHEARSED, prepare
from runbook.errors import UsageError
from runbook.models import Permission
from runbook.policy import Policy, load_policy
from runbook.policy.estate import CacheKey
from runbook.policy.loading import parse_policy
from runbook.policy.procedures import PROCEDURES
from sandbox.box import running

NOW = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
EXAMPLE = Path(__file__).parents[2] / "runbook.toml"
REPOSITORY = "acme/voice-agent"
LEAST = """
[[repositories]]
name = "Some-Org/shop"
[approvals]
approvers = ["drill-requester"]
"""


def policy_of(text: str = LEAST, **changed: Any) -> Policy:
    """A policy from TOML, with top-level tables changed."""
    return parse_policy({**tomllib.loads(text), **changed})


@given(
    approvers=st.lists(
        st.sampled_from(["alice", "Drill-Requester", "drill-requester-2", "drill-bot", "bob"]),
        min_size=1,
        unique_by=str.casefold,
    ),
    product_login=st.sampled_from([None, "runbook-bot", "drill-requester-3"]),
)
def test_neither_the_requester_nor_the_product_may_approve(
    approvers: list[str], product_login: str | None
) -> None:
    more = {"product_login": product_login} if product_login else {}
    policy = policy_of(approvals={"approvers": approvers}, **more)
    cast = cast_for(policy, procedure="clear-caches", repository="Some-Org/shop")
    everybody = [cast.bot, cast.requester, *cast.approvers]
    assert cast.approvers == tuple(approvers)
    assert len({login.casefold() for login in everybody}) == len(everybody)


def test_no_more_people_approve_than_must_and_with_no_more_rights_than_the_policy_wants() -> None:
    approvals = {"approvers": ["a", "b", "c"], "quorum": 2, "minimum_permission": "maintain"}
    cast = cast_for(policy_of(approvals=approvals), procedure="clear-caches", repository="Some-Org/shop")
    assert cast.approving == ("a", "b")
    assert cast.permission is Permission.MAINTAIN


@pytest.mark.parametrize("text", [EXAMPLE.read_text(), LEAST], ids=["the example", "the least one"])
def test_the_sandbox_takes_what_is_made_of_a_policy(text: str) -> None:
    rehearsal = prepare("clear-caches", policy_of(text), about=None, now=NOW)
    with running(json.loads(json.dumps(rehearsal.scenario))) as box:
        assert f"{box.owner}/{box.repo}" == rehearsal.repository
        assert box.bot == rehearsal.cast.bot
        prefix = rehearsal.request.model_dump()["key_prefix"]
        going = [one for one in box.repository.caches.values() if one.key.startswith(prefix)]
        assert len(going) == 3
        assert len(box.repository.caches) > len(going)  # something must stay, or nothing is shown by it
        for login in (rehearsal.cast.requester, *rehearsal.cast.approvers):
            assert box.token_of(login)


def test_a_plan_is_no_longer_than_the_policy_allows() -> None:
    rehearsal = prepare("clear-caches", policy_of(caps={"cache_deletions_per_plan": 1}), about=None, now=NOW)
    caches = rehearsal.scenario["repositories"]["Some-Org/shop"]["caches"]
    assert [one["key"].startswith("pip-") for one in caches].count(True) == 1


def test_a_repository_for_incidents_is_there_once_however_it_is_spelt() -> None:
    names = [
        {"name": "Some-Org/shop", "incidents_repository": "some-org/SHOP"},
        {"name": "Some-Org/pay", "incidents_repository": "Some-Org/incidents"},
    ]
    rehearsal = prepare("clear-caches", policy_of(repositories=names), about="some-org/pay", now=NOW)
    assert sorted(rehearsal.scenario["repositories"]) == [
        "Some-Org/incidents",
        "Some-Org/pay",
        "Some-Org/shop",
    ]
    assert rehearsal.repository == "Some-Org/pay"


def test_a_key_is_rendered_as_a_workflow_would() -> None:
    family = CacheKey(family="pip", key="pip-${{ runner.os }}-${{hashFiles('a')}}")
    assert prefix_of(family) == "pip-"
    assert rendered(family, 0).startswith("pip-Linux-")
    assert "$" not in rendered(family, 0)
    assert rendered(family, 0) != rendered(family, 1)
    assert prefix_of(CacheKey(family="pip", key="${{ runner.os }}-pip")) == "Linux-pip"


@pytest.mark.parametrize("starts_in", [timedelta(minutes=-5), timedelta(seconds=60)])
def test_nothing_is_rehearsed_into_a_freeze(starts_in: timedelta) -> None:
    start = NOW + starts_in
    window = {
        "name": "Release week",
        "start": start.isoformat(),
        "end": (NOW + timedelta(days=1)).isoformat(),
    }
    with pytest.raises(UsageError, match=r"freezes clear-caches .*Release week") as refusal:
        prepare("clear-caches", policy_of(freeze_windows=[window]), about=None, now=NOW)
    assert refusal.value.unchanged == "Nothing was started."


def test_a_policy_whose_approvers_cannot_suffice_is_refused() -> None:
    policy = policy_of(product_login="bot", approvals={"approvers": ["a"]})
    short = policy.model_copy(
        update={"approvals": policy.approvals.model_copy(update={"quorum": 2})}
    )  # as the loader would refuse it, too
    with pytest.raises(UsageError, match="wants 2 approvals, and the policy names 1"):
        prepare("clear-caches", short, about=None, now=NOW)


def test_what_cannot_be_rehearsed_is_told_from_what_does_not_exist() -> None:
    policy = load_policy(EXAMPLE)
    with pytest.raises(UsageError, match="has no procedure 'clear-cache'") as unknown:
        prepare("clear-cache", policy, about=None, now=NOW)
    assert "clear-caches" in unknown.value.next_step
    assert set(REHEARSED) == {"clear-caches", "rollback-image"}
    for procedure in set(PROCEDURES) - set(REHEARSED):
        with pytest.raises(UsageError, match="cannot be rehearsed yet") as refusal:
            prepare(procedure, policy, about=None, now=NOW)
        assert "clear-caches" in refusal.value.next_step


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["drill", "rotate-secret"], "cannot be rehearsed yet"),
        (["drill", "no-such"], "no procedure"),
        (["drill", "clear-caches", "--about", "acme/other"], "does not name the repository"),
        (["drill", "clear-caches", "--report", "there.md"], "a report never replaces another"),
        (["drill", "clear-caches", "--report", "no/folder.md"], "no folder"),
    ],
)
def test_what_is_asked_wrongly_starts_nothing(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNBOOK_POLICY", str(EXAMPLE))
    (tmp_path / "there.md").write_text("mine")
    assert run(words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "is up" not in told
    assert [file.name for file in tmp_path.iterdir()] == ["there.md"]
    assert (tmp_path / "there.md").read_text() == "mine"
