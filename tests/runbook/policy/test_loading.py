"""From a file to a policy, or to an error that a person can act on."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from runbook.errors import PolicyError
from runbook.policy import Policy, find_policy, load_policy, parse_policy
from runbook.policy.base import Section
from runbook.policy.reference import render, sections
from tests.runbook.policy.conftest import EXAMPLE

Document = dict[str, Any]


def test_the_example_policy_is_sound() -> None:
    policy = load_policy(EXAMPLE)
    assert [repository.name for repository in policy.repositories] == ["acme/voice-agent"]


def test_the_example_states_every_number_of_the_runbook() -> None:
    policy = load_policy(EXAMPLE)
    assert [step.after_minutes for step in policy.escalation] == [0, 15, 30, 60]
    assert {secret.name: secret.every_months for secret in policy.secrets} == {
        "GITHUB_TOKEN": None,
        "ANTHROPIC_API_KEY": 3,
        "SLACK_WEBHOOK_URL": 12,
        "GHCR_TOKEN": 6,
    }
    assert policy.secret_rotation.emergency_minutes == 15
    assert policy.secret_rotation.review_runs == 50
    rate, duration, hits, cves = (
        policy.slo.success_rate,
        policy.slo.duration,
        policy.slo.cache_hit_rate,
        policy.slo.critical_cves,
    )
    assert (rate.target_percent, rate.alert_below_percent, rate.window_hours, rate.sample_runs) == (
        95,
        90,
        24,
        100,
    )
    assert (duration.test_target_minutes, duration.build_target_minutes, duration.alert_factor) == (30, 60, 2)
    assert duration.sample_successes == 50
    assert (hits.target_percent, hits.alert_below_percent, hits.window_days) == (80, 50, 7)
    assert (cves.target, cves.alert_from) == (0, 1)
    assert (policy.triage.assessment_minutes, policy.triage.recent_runs) == (5, 5)
    flaky = policy.flaky_tests
    assert (flaky.repetitions, flaky.retry_attempts, flaky.retry_timeout_minutes) == (10, 3, 30)
    assert policy.caps.job_timeout_minutes == 120
    assert {service.name: service.log_tail_lines for service in policy.services} == {
        "tts-service": 100,
        "agent-service": 100,
    }
    assert [entry.family for entry in policy.cache_keys] == ["pip", "docker", "helm"]
    assert policy.channels.incidents == "#engineering-alerts"
    assert len(policy.external_support) == 3


def test_the_comments_of_the_example_that_show_toml_are_toml_that_is_accepted() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    for start in ("# [[approvals.overrides]]", "# [kill_switch]", "# [[freeze_windows]]"):
        block = text[text.index(start) :].split("\n\n")[0]
        shown = "\n".join(line.removeprefix("# ") for line in block.splitlines())
        parse_policy(tomllib.loads(text) | _merged(tomllib.loads(text), tomllib.loads(shown)))


def _merged(whole: Document, shown: Document) -> Document:
    if "approvals" in shown:
        overrides = whole["approvals"]["overrides"] + shown["approvals"]["overrides"]
        return {"approvals": whole["approvals"] | {"overrides": overrides}}
    return shown


@pytest.mark.parametrize(
    ("spoil", "key", "reason"),
    [
        (lambda d: d.update(repositorys=[]), "repositorys", "did you mean 'repositories'?"),
        (
            lambda d: d.update(timings={"lease_second": 1}),
            "timings.lease_second",
            "did you mean 'lease_seconds'?",
        ),
        (
            lambda d: d["repositories"][0]["workflows"][1].update(baseline=1),
            "repositories[0].workflows[1].baseline",
            "did you mean 'baseline_minutes'?",
        ),
        (
            lambda d: d["remedies"]["timeout"].update(automated=True),
            "remedies.timeout.automated",
            "did you mean 'automatic'?",
        ),
        (
            lambda d: d["contacts"]["security"].update(zzz="x"),
            "contacts.security.zzz",
            "unknown key; known here: name, github, slack, email",
        ),
        (
            lambda d: d["remedies"].update(cache_corrupt={}),
            "remedies.cache_corrupt",
            "did you mean 'cache_corruption'?",
        ),
        (
            lambda d: d["repositories"][0]["workflows"][0].update(kind="tets"),
            "repositories[0].workflows[0].kind",
            "did you mean 'test'?",
        ),
        (lambda d: d["approvals"].update(quorum="1"), "approvals.quorum", "valid integer"),
        (lambda d: d["approvals"].update(quorum=True), "approvals.quorum", "valid integer"),
        (lambda d: d["approvals"].update(quorum=0), "approvals.quorum", "greater than 0"),
        (lambda d: d["approvals"].pop("approvers"), "approvals.approvers", "is missing. GitHub logins"),
        (lambda d: d["approvals"].update(approvers="alice"), "approvals.approvers", "valid array"),
        (
            lambda d: d["slo"]["duration"].update(alert_factor=float("inf")),
            "slo.duration.alert_factor",
            "finite",
        ),
        (
            lambda d: d["slo"]["success_rate"].update(target_percent=101),
            "slo.success_rate.target_percent",
            "100",
        ),
        (lambda d: d["repositories"][0].update(name="acme"), "repositories[0].name", '"owner/repository"'),
        (
            lambda d: d["repositories"][0].update(incidents_repository="acme/inc idents"),
            "repositories[0].incidents_repository",
            "does not look like",
        ),
        (lambda d: d.pop("repositories"), "repositories", "is missing"),
        (lambda d: d.update(repositories=[]), "repositories", "at least 1"),
        (lambda d: d.update(on_call="alice"), "on_call", "@alice"),
        (
            lambda d: d.update(freeze_windows=[{"name": "x", "start": "2027-01-01T00:00:00", "end": "2027"}]),
            "freeze_windows[0].start",
            "timezone",
        ),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_file_and_reason(
    document: Document, spoil: Callable[[Document], object], key: str, reason: str
) -> None:
    spoil(document)
    with pytest.raises(PolicyError) as refused:
        parse_policy(document, source=Path("team/runbook.toml"))
    text = str(refused.value)
    assert text.startswith("team/runbook.toml:")
    assert f"{key}: " in text
    assert reason in text
    assert "Next: " in text
    assert refused.value.exit_code == 2


def test_every_error_is_told_at_once_and_what_merely_follows_is_not(document: Document) -> None:
    document["repositories"][0]["name"] = "acme"
    document["approvals"]["quorum"] = "two"
    with pytest.raises(PolicyError) as refused:
        parse_policy(document)
    lines = refused.value.message.strip().splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["repositories[0].name", "approvals.quorum"]


def test_a_value_never_appears_in_an_error_nor_in_its_causes(document: Document) -> None:
    canary = "ghp_canary0123456789"
    document["repositories"][0]["workflows"][0]["kind"] = canary
    document["on_call"] = canary
    document["caps"]["reruns_per_run"] = canary
    with pytest.raises(PolicyError) as refused:
        parse_policy(document)
    assert canary not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_a_syntax_error_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "runbook.toml"
    path.write_text("on_call = '@alice'\nproduct_login = \n", encoding="utf-8")
    with pytest.raises(PolicyError, match=r"runbook\.toml: is not valid TOML: .*line 2"):
        load_policy(path)


def test_what_is_no_text_or_no_file_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"on_call = '\xff'")
    with pytest.raises(PolicyError, match="not UTF-8 text"):
        load_policy(binary)
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(tmp_path)


def test_the_policy_of_the_environment_beats_the_directorys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("environment", "runbook"):
        (tmp_path / f"{name}.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RUNBOOK_POLICY", "environment.toml")
    assert find_policy() == Path("environment.toml")
    monkeypatch.delenv("RUNBOOK_POLICY")
    assert find_policy() == Path("runbook.toml")


def test_a_policy_that_is_named_and_missing_is_never_replaced_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runbook.toml").touch()
    monkeypatch.setenv("RUNBOOK_POLICY", "gone.toml")
    with pytest.raises(PolicyError, match=r"no policy file gone\.toml .*--policy or RUNBOOK_POLICY"):
        find_policy()


def test_equal_policies_have_equal_digests_and_any_change_shows(
    document: Document, minimal: Document
) -> None:
    reordered = json.loads(json.dumps(document, sort_keys=True))
    assert parse_policy(reordered).digest == parse_policy(document).digest
    spelled_out = minimal | {"approvals": minimal["approvals"] | {"quorum": 1}}
    assert parse_policy(spelled_out).digest == parse_policy(minimal).digest
    document["approvals"]["approvers"] = ["bob"]
    assert parse_policy(document).digest != load_policy(EXAMPLE).digest


def test_a_minimal_policy_is_enough(minimal: Document) -> None:
    policy = parse_policy(minimal)
    assert policy.repository("acme/app").incidents_repository == "acme/app"
    assert policy.approvals.poll_seconds == 15


def test_the_example_declares_the_schedules_of_the_deployments() -> None:
    deployments = yaml.safe_load(
        (EXAMPLE.parent / "deployments" / "prefect.yaml").read_text(encoding="utf-8")
    )
    sent = {
        deployment["name"]: schedule["parameters"]["request"]
        for deployment in deployments["deployments"]
        for schedule in deployment.get("schedules", [])
    }
    for run in load_policy(EXAMPLE).scheduled:
        assert sent[run.name] == run.request


_PLAIN_TABLES = {heading.strip("[]"): kind for heading, kind in sections() if not heading.startswith("[[")}


@given(
    name=st.sampled_from(
        sorted(name for name in _PLAIN_TABLES if "<" not in name and "repositories" not in name)
    ),
    key=st.text(st.characters(categories=["Ll", "Nd"], include_characters="_"), min_size=1, max_size=20),
)
def test_no_table_takes_a_key_it_does_not_know(name: str, key: str) -> None:
    document = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    table: Document = document
    for part in name.split("."):
        table = table.setdefault(part, {})
    assume(key not in _PLAIN_TABLES[name].model_fields)
    table[key] = 1
    with pytest.raises(PolicyError, match="unknown key"):
        parse_policy(document)


def test_the_reference_is_what_the_models_say() -> None:
    written = (EXAMPLE.parent / "docs" / "policy.md").read_text(encoding="utf-8")
    assert written == render(), "run: python -m runbook.policy.reference > docs/policy.md"


def test_every_default_in_the_reference_can_be_copied_into_the_file() -> None:
    """TOML, not Python: a list of globs was shown as a tuple within a string."""
    shown = re.findall(r"(?m)^\| `(\w+)` \| [^|]+ \| `(.+?)` \| ", render())
    assert len(shown) > 50
    tables: list[type[Section]] = [Policy, *(section for _, section in sections())]
    known: dict[str, list[object]] = {}
    for section in tables:
        for name, field in section.model_fields.items():
            known.setdefault(name, []).append(field.default)
    for name, default in shown:
        value = tomllib.loads(f"{name} = {default}")[name]
        assert (tuple(value) if isinstance(value, list) else value) in known[name]
