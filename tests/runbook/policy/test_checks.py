"""Policies that contradict themselves are refused, with the key that has to change."""

from collections.abc import Callable
from typing import Any

import pytest

from runbook.errors import PolicyError
from runbook.policy import parse_policy

Document = dict[str, Any]


def _overrides(*entries: Document) -> Callable[[Document], object]:
    return lambda document: document["approvals"].update(overrides=list(entries))


def _known_issue(**changes: object) -> Document:
    issue = {
        "id": "disk",
        "title": "Disk full",
        "failure_class": "infrastructure",
        "pattern": "No space left on device",
        "fix": "Free some.",
        "examples": ["write: No space left on device"],
    }
    return {"known_issues": [issue | changes]}


_COUNTS = {"prefect_resume": "counts"}
_FREEZE = {"name": "x", "start": "2027-01-02T00:00:00Z", "end": "2027-01-03T00:00:00Z"}
_SCHEDULED = {
    "name": "prune",
    "procedure": "clear-caches",
    "request": {"repository": "acme/app", "mode": "apply"},
    "max_effects": 5,
}
_SERVICE = {"name": "tts", "repository": "acme/app", "namespace": "a", "image": "i", "dockerfile": "d"}
_SECRET = {"name": "KEY", "repository": "acme/app", "every_months": 3}


@pytest.mark.parametrize(
    ("spoil", "key", "reason"),
    [
        # who may approve
        (
            lambda d: d["approvals"].update(quorum=3),
            "approvals.quorum",
            "3 must approve, but approvers names 2",
        ),
        (lambda d: d["approvals"].update(approvers=[]), "approvals.quorum", "approvers names 0"),
        (lambda d: d["approvals"].update(approvers=["bob", "Bob"]), "approvals.approvers", "named twice"),
        (lambda d: d.update(product_login="Alice"), "approvals.approvers", "never approves its own plans"),
        (
            lambda d: (
                d.update(product_login="bot")
                or _overrides({"procedure": "clear-caches", "approvers": ["bot"]})(d)
            ),
            "approvals.overrides[0].approvers",
            "never approves its own plans",
        ),
        (
            _overrides({"procedure": "clear-caches", "quorum": 3}),
            "approvals.overrides[0]",
            "3 must approve clear-caches in acme/app, but 2 may",
        ),
        (
            _overrides(
                {"procedure": "clear-caches", "quorum": 2}, {"repository": "acme/app", "approvers": ["bob"]}
            ),
            "approvals.overrides[0]",
            "2 must approve clear-caches in acme/app, but 1 may",
        ),
        (_overrides({"quorum": 2}), "approvals.overrides[0]", "names neither a procedure nor a repository"),
        (
            _overrides(
                {"procedure": "clear-caches", "repository": "acme/app"},
                {"procedure": "clear-caches", "repository": "ACME/app"},
            ),
            "approvals.overrides[1]",
            "approvals.overrides[0] is about the same",
        ),
        # a resume that names nobody
        (
            _overrides({"procedure": "hotfix-deploy", **_COUNTS}),
            "approvals.overrides[0].prefect_resume",
            "low-risk",
        ),
        (
            _overrides({"repository": "acme/app", **_COUNTS}),
            "approvals.overrides[0].prefect_resume",
            "named low-risk",
        ),
        (
            _overrides({"procedure": "clear-caches", "quorum": 2, **_COUNTS}),
            "approvals.overrides[0].prefect_resume",
            "cannot be one of 2 distinct people",
        ),
        # expiry comes before Prefect's own
        (
            lambda d: d["approvals"].update(expires_after_seconds=604_800),
            "approvals.expires_after_seconds",
            "not below timings.suspend_timeout_seconds",
        ),
        (
            _overrides({"procedure": "clear-caches", "expires_after_seconds": 700_000}),
            "approvals.overrides[0].expires_after_seconds",
            "not below timings.suspend_timeout_seconds",
        ),
        # names that stand for nothing
        (_overrides({"procedure": "clear-cache"}), "approvals.overrides[0].procedure", "no such procedure"),
        (_overrides({"repository": "acme/b"}), "approvals.overrides[0].repository", "no repository of"),
        (
            lambda d: d.update(scheduled=[_SCHEDULED | {"procedure": "prune"}]),
            "scheduled[0].procedure",
            "no such procedure",
        ),
        (
            lambda d: d.update(scheduled=[_SCHEDULED | {"request": {"mode": "apply"}}]),
            "scheduled[0].request.repository",
            "no repository of",
        ),
        (
            lambda d: d.update(services=[_SERVICE | {"repository": "acme/b"}]),
            "services[0].repository",
            "no repository",
        ),
        (
            lambda d: d.update(secrets=[_SECRET | {"repository": "acme/b"}]),
            "secrets[0].repository",
            "no repository",
        ),
        (
            lambda d: d.update(freeze_windows=[_FREEZE | {"procedures": ["sleep"]}]),
            "freeze_windows[0].procedures",
            "no such procedure",
        ),
        (
            lambda d: d.update(freeze_windows=[_FREEZE | {"repositories": ["acme/b"]}]),
            "freeze_windows[0].repositories",
            "no repository of",
        ),
        (
            lambda d: d.update(kill_switch={"repository": "acme/b", "issue": 1}),
            "kill_switch.repository",
            "names neither",
        ),
        (
            lambda d: d.update(escalation=[{"after_minutes": 0, "role": "x", "contact": "nobody"}]),
            "escalation[0].contact",
            "'nobody' is not in [contacts]",
        ),
        (
            lambda d: d.update(services=[_SERVICE | {"moves_with": ["agent"]}]),
            "services[0].moves_with",
            "'agent'",
        ),
        (
            lambda d: d.update(services=[_SERVICE | {"moves_with": ["tts"]}]),
            "services[0].moves_with",
            "not another",
        ),
        # the same thing twice
        (
            lambda d: d["repositories"].append({"name": "Acme/App"}),
            "repositories[1].name",
            "already named by repositories[0]",
        ),
        (
            lambda d: d["repositories"][0].update(workflows=[{"file": "ci.yml"}, {"file": "ci.yml"}]),
            "repositories[0].workflows[1].file",
            "already named",
        ),
        (lambda d: d.update(scheduled=[_SCHEDULED, _SCHEDULED]), "scheduled[1].name", "already named"),
        (lambda d: d.update(services=[_SERVICE, _SERVICE]), "services[1].name", "already named"),
        (lambda d: d.update(secrets=[_SECRET, _SECRET]), "secrets[1].name", "already named"),
        (
            lambda d: d.update(cache_keys=[{"family": "pip", "key": "k"}] * 2),
            "cache_keys[1].family",
            "already named",
        ),
        (
            lambda d: d.update(known_issues=_known_issue()["known_issues"] * 2),
            "known_issues[1].id",
            "already named",
        ),
        # schedules
        (
            lambda d: d.update(scheduled=[_SCHEDULED | {"max_effects": 5_000}]),
            "scheduled[0].max_effects",
            "above caps.effects_per_plan",
        ),
        (lambda d: d.update(scheduled=[_SCHEDULED | {"quorum": 3}]), "scheduled[0].quorum", "3 must approve"),
        (
            lambda d: (
                d.update(scheduled=[_SCHEDULED | {"quorum": 2}])
                or _overrides({"procedure": "clear-caches", "approvers": ["alice"]})(d)
            ),
            "scheduled[0].quorum",
            "2 must approve, but 1 may approve clear-caches in acme/app",
        ),
        (
            lambda d: d.update(scheduled=[_SCHEDULED | {"request": {"repository": "acme/app"}}]),
            "scheduled[0].request.mode",
            "needs no entry",
        ),
        # remedies
        (lambda d: d.update(remedies={"passing": {}}), "remedies.passing", "needs no remedy"),
        (
            lambda d: d.update(remedies={"timeout": {"propose": ["rerun_failed_jobs"] * 2}}),
            "remedies.timeout.propose",
            "twice",
        ),
        (
            lambda d: d.update(remedies={"timeout": {"propose": ["wait_for_rate_limit_reset"]}}),
            "remedies.timeout.propose",
            "for rate_limit only",
        ),
        (
            lambda d: d.update(remedies={"timeout": {"propose": ["rerun_failed_jobs"], "automatic": True}}),
            "remedies.timeout.automatic",
            "needs [kill_switch]",
        ),
        (
            lambda d: d.update(
                remedies={"cache_corruption": {"propose": ["clear_implicated_caches"], "automatic": True}},
                kill_switch={"repository": "acme/app", "issue": 1},
            ),
            "remedies.cache_corruption.automatic",
            "without rerun_failed_jobs",
        ),
        (
            lambda d: d.update(
                remedies={"unknown": {"propose": ["rerun_failed_jobs"], "automatic": True}},
                kill_switch={"repository": "acme/app", "issue": 1},
            ),
            "remedies.unknown.automatic",
            "an unknown failure needs a person",
        ),
        # numbers that fight each other
        (
            lambda d: d.update(timings={"watch_poll_seconds": 31}),
            "timings.watch_poll_seconds",
            "lose the lease",
        ),
        (
            lambda d: d.update(timings={"probe_interval_seconds": 120}),
            "timings.probe_interval_seconds",
            "not below timings.settle_seconds",
        ),
        (
            lambda d: d.update(timings={"watch_timeout_seconds": 10}),
            "timings.watch_poll_seconds",
            "not below timings.watch_timeout_seconds",
        ),
        (
            lambda d: d.update(slo={"success_rate": {"alert_below_percent": 96}}),
            "slo.success_rate.alert_below_percent",
            "while the target (95 %) is met",
        ),
        (
            lambda d: d.update(slo={"cache_hit_rate": {"alert_below_percent": 81}}),
            "slo.cache_hit_rate.alert_below_percent",
            "while the target (80 %) is met",
        ),
        (
            lambda d: d.update(slo={"critical_cves": {"target": 1}}),
            "slo.critical_cves.alert_from",
            "while the target (1) is met",
        ),
        (
            lambda d: d["repositories"][0].update(
                workflows=[{"file": "ci.yml", "baseline_minutes": 30, "timeout_minutes": 30}]
            ),
            "repositories[0].workflows[0].baseline_minutes",
            "not shorter than",
        ),
        (
            lambda d: d.update(
                escalation=[
                    {"after_minutes": after, "role": "x", "contact": "commit_author"} for after in (15, 15)
                ]
            ),
            "escalation[1].after_minutes",
            "15 does not come after 15",
        ),
        (
            lambda d: d.update(freeze_windows=[_FREEZE | {"end": "2027-01-02T00:00:00Z"}]),
            "freeze_windows[0].end",
            "does not come after start",
        ),
        # services
        (
            lambda d: d.update(services=[_SERVICE | {"metrics": [{"name": "errors_total"}]}]),
            "services[0].metrics[0]",
            "neither at_most nor at_least",
        ),
        (
            lambda d: d.update(image_rollback={"gitops": "pause", "gitops_pause_minutes": 60}),
            "image_rollback.gitops_pause_minutes",
            "another 1380 minutes",
        ),
        # people and secrets
        (lambda d: d.update(contacts={"x": {"name": "X"}}), "contacts.x", "nobody could be reached"),
        (
            lambda d: d.update(contacts={"commit_author": {"name": "X", "email": "x@example.org"}}),
            "contacts.commit_author",
            "stands for the author",
        ),
        (
            lambda d: d.update(secrets=[{"name": "KEY", "repository": "acme/app"}]),
            "secrets[0].every_months",
            "missing",
        ),
        (
            lambda d: d.update(secrets=[_SECRET | {"rotated_by": "github"}]),
            "secrets[0].every_months",
            "GitHub rotates it",
        ),
        # known issues
        (
            lambda d: d.update(_known_issue(pattern="(")),
            "known_issues[0].pattern",
            "not a regular expression",
        ),
        (
            lambda d: d.update(_known_issue(examples=["full"])),
            "known_issues[0].examples[0]",
            "is not matched",
        ),
        (
            lambda d: d.update(_known_issue(near_misses=["No space left on device?"])),
            "known_issues[0].near_misses[0]",
            "is matched",
        ),
    ],
)
def test_a_contradiction_is_refused_at_its_key(
    minimal: Document, spoil: Callable[[Document], object], key: str, reason: str
) -> None:
    parse_policy(minimal)  # sound before
    spoil(minimal)
    with pytest.raises(PolicyError) as refused:
        parse_policy(minimal)
    told = refused.value.message.removeprefix("runbook.toml:").strip().splitlines()
    assert any(line.strip().startswith(f"{key}: ") and reason in line for line in told), told


@pytest.mark.parametrize(
    "change",
    [
        _overrides({"procedure": "clear-caches", "quorum": 2}, {"procedure": "triage-failed-run", **_COUNTS}),
        lambda d: d.update(kill_switch={"repository": "acme/app", "issue": 1}),
        lambda d: (
            d["repositories"][0].update(incidents_repository="acme/incidents")
            or d.update(kill_switch={"repository": "acme/incidents", "issue": 1})
        ),
        lambda d: d.update(scheduled=[_SCHEDULED | {"quorum": 0}]),
        lambda d: (
            d.update(scheduled=[_SCHEDULED | {"quorum": 3}])
            or _overrides({"procedure": "clear-caches", "approvers": ["alice", "bob", "carol"]})(d)
        ),
        lambda d: d.update(
            secrets=[{"name": "GITHUB_TOKEN", "repository": "acme/app", "rotated_by": "github"}]
        ),
        lambda d: d.update(services=[_SERVICE, _SERVICE | {"name": "agent", "moves_with": ["tts"]}]),
        lambda d: d.update(image_rollback={"gitops": "pause"}),
        lambda d: d.update(image_rollback={"gitops_pause_minutes": 60}),
        lambda d: d.update(slo={"success_rate": {"target_percent": 90, "alert_below_percent": 90}}),
        lambda d: d.update(timings={"watch_poll_seconds": 30, "lease_seconds": 60}),
    ],
)
def test_what_merely_looks_near_a_contradiction_is_accepted(
    minimal: Document, change: Callable[[Document], object]
) -> None:
    change(minimal)
    parse_policy(minimal)
