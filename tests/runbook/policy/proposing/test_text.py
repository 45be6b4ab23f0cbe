"""Whatever the names, the proposed policy loads, and is exactly the one that was proposed."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runbook.policy import load_policy, parse_policy
from runbook.policy.proposing import RepositoryFindings, WorkflowFinding, policy_text, propose
from runbook.policy.proposing.text import comment, quoted

HOSTILE = (
    '"]\n[approvals]\napprovers = ["mallory"]',
    '"""',
    "'''",
    "\\",
    'a\\"b',
    "# no comment",
    "\r\n[repositories]",
    "\x7f\x00\x1b[31m",
    "\u202edeifirev",
    "\u2028[approvals]",
    "\ud800",
    "🙂" * 60,
    "x" * 5_000,
    " ",
    "",
)

any_text = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=120))
# A JSON answer may hold half of a pair, which is no character.
wild_text = st.one_of(any_text, st.text(st.characters(), max_size=40))

workflows = st.builds(
    WorkflowFinding,
    path=st.builds(
        lambda folder, name: folder + name, st.sampled_from([".github/workflows/", "dynamic/", ""]), wild_text
    ),
    name=wild_text,
    active=st.booleans(),
    content=any_text,
    job_names=st.lists(wild_text, max_size=3).map(tuple),
    green_minutes=st.lists(st.floats(0, 10_000), max_size=3).map(tuple),
)
repositories = st.builds(
    RepositoryFindings,
    name=st.just("acme/voice-agent"),
    default_branch=wild_text,
    workflows=st.lists(workflows, max_size=4).map(tuple),
    required_checks=st.none() | st.lists(wild_text, max_size=3).map(tuple),
    secrets=st.none() | st.lists(wild_text, max_size=4).map(tuple),
    codeowners=st.one_of(
        any_text, st.lists(wild_text, max_size=3).map(lambda names: "* @" + " @".join(names))
    ),
    refs=st.lists(wild_text, max_size=3).map(tuple),
    notes=st.lists(wild_text, max_size=2).map(tuple),
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(found=repositories, login=st.none() | wild_text)
def test_whatever_the_names_the_policy_loads_and_is_the_one_proposed(
    found: RepositoryFindings, login: str | None
) -> None:
    proposal = propose((found,), login=login)
    assert parse_policy(tomllib.loads(policy_text(proposal))) == proposal.policy


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_changes_nobody_who_may_approve(name: str, tmp_path: Path) -> None:
    found = RepositoryFindings(
        name="acme/voice-agent",
        default_branch="main",
        workflows=(WorkflowFinding(path=f".github/workflows/{name}", name=name),),
        secrets=(name,),
        codeowners="* @alice\n",
        notes=(name,),
    )
    proposal = propose((found,), login="runbook-bot")
    path = tmp_path / "runbook.toml"
    path.write_text(policy_text(proposal), encoding="utf-8")
    assert load_policy(path) == proposal.policy
    assert proposal.policy.approvals.approvers == ("alice",)
    assert [one.name for one in proposal.policy.repositories] == ["acme/voice-agent"]


@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_a_quoted_text_comes_back_unchanged(text: str) -> None:
    assert tomllib.loads(f"x = {quoted(text)}") == {"x": text}


@given(text=wild_text)
def test_a_comment_stays_one(text: str) -> None:
    assert tomllib.loads(comment(text)) == {}
    assert len(comment(text).splitlines()) == 1


def test_a_secret_in_a_name_is_not_written() -> None:
    assert "ghp_" not in comment("deploy with ghp_" + "a" * 36)
