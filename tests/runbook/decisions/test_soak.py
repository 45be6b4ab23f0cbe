"""RB-07, RB-10, RB-11: a service stays well for the whole soak time, or the set goes back."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook.decisions.metric_bounds import read_metrics
from runbook.decisions.soak import (
    HealthSeen,
    PodsSeen,
    Sample,
    SoakState,
    SoakVerdict,
    Trouble,
    Watched,
    compare,
    judge_set,
    judge_soak,
)
from runbook.policy.estate import MetricThreshold
from tests.runbook.decisions.workload_facts import NOW

WELL = HealthSeen(status=200)
DOWN = HealthSeen(status=503)
SILENT = HealthSeen(status=None, error="no endpoints")
LATENCY = MetricThreshold(name="latency_seconds", at_most=0.5)
ERRORS = MetricThreshold(name="errors_total", at_most=0.1, per_second=True)
REQUESTS = MetricThreshold(name="requests_total", at_least=1.0, per_second=True)


def sample(second: int = 0, *, ready: int = 3, wanted: int = 3, **changes: Any) -> Sample:
    """Return a well service at one second of the watching."""
    facts: dict[str, Any] = {
        "at": NOW + timedelta(seconds=second),
        "pods": PodsSeen(
            wanted=wanted,
            ready=ready,
            restarts=changes.pop("restarts", {"a": 0}),
            reasons=changes.pop("reasons", ()),
        ),
        "health": WELL,
        **changes,
    }
    return Sample(**facts)


def judged(*samples: Sample, health_failures: int = 2, **changes: Any) -> SoakVerdict:
    """Judge a service that must stay well for ten seconds."""
    facts: dict[str, Any] = {"service": "tts", "soak_seconds": 10, "before": sample(), **changes}
    return judge_soak(Watched(samples=samples, **facts), health_failures=health_failures)


def test_a_service_that_stays_well_for_the_soak_time_has_soaked() -> None:
    assert judged().state is SoakState.WELL_SO_FAR
    assert judged(sample(0)).state is SoakState.WELL_SO_FAR
    assert judged(sample(0), sample(9)).reason == "tts is well for 9 of 10 s"
    soaked = judged(sample(0), sample(10))
    assert (soaked.state, soaked.watched_seconds) == (SoakState.SOAKED, 10)


@pytest.mark.parametrize(
    ("later", "trouble", "reason"),
    [
        ([sample(1, restarts={"a": 1})], Trouble.RESTARTS, "pod a was restarted"),
        ([sample(1, restarts={"b": 1})], Trouble.RESTARTS, "pod b was restarted"),
        (
            [sample(1, restarts={"a": 1}, reasons=("app: OOMKilled",))],
            Trouble.RESTARTS,
            "(app: OOMKilled)",
        ),
        ([sample(1, log_failures=("traceback",))], Trouble.LOG_FAILURE, "traceback"),
        (
            [sample(s, ready=2) for s in (1, 2, 3)],
            Trouble.NOT_READY,
            "2 of 3 pods are ready, 3 times in a row",
        ),
        ([sample(s, health=DOWN) for s in (1, 2, 3)], Trouble.HEALTH, "answers 503, 3 times in a row"),
        ([sample(s, health=SILENT) for s in (1, 2, 3)], Trouble.HEALTH, "does not answer (no endpoints)"),
    ],
)
def test_what_is_not_well_is_named_and_worse_than_before(
    later: list[Sample], trouble: Trouble, reason: str
) -> None:
    verdict = judged(sample(0), *later)
    assert (verdict.state, verdict.trouble) == (SoakState.NOT_WELL, trouble)
    assert reason in verdict.reason
    assert verdict.worse_than_before
    assert verdict.reason.startswith("tts: ")


@pytest.mark.parametrize("bad", [{"ready": 2}, {"health": DOWN}])
def test_what_flickers_is_borne_with_as_often_in_a_row_as_the_policy_says(bad: dict[str, Any]) -> None:
    flickers = [sample(0), sample(1, **bad), sample(2, **bad), sample(3), sample(4, **bad), sample(11)]
    verdict = judged(*flickers)
    assert verdict.state is SoakState.SOAKED
    assert "3 of 6 looks found it not well" in verdict.reason
    assert judged(*flickers, health_failures=1).state is SoakState.NOT_WELL
    assert judged(sample(0), sample(1, **bad), health_failures=0).state is SoakState.NOT_WELL


def test_nothing_has_soaked_while_its_last_look_is_bad() -> None:
    assert judged(sample(0), sample(11, health=DOWN)).state is SoakState.WELL_SO_FAR
    assert judged(sample(0), sample(11, health=DOWN), sample(12)).state is SoakState.SOAKED


def test_restarts_from_before_the_rollout_settled_and_replaced_pods_do_not_count() -> None:
    verdict = judged(
        sample(0, restarts={"a": 7, "b": 1}),
        sample(5, restarts={"b": 1, "c": 0}),
        sample(10, restarts={"c": 0}),
    )
    assert verdict.state is SoakState.SOAKED


def test_a_restart_does_not_hide_behind_a_pod_that_took_its_count_along() -> None:
    verdict = judged(sample(0, restarts={"a": 7, "b": 0}), sample(1, restarts={"b": 1}))
    assert verdict.trouble is Trouble.RESTARTS


def test_pods_that_an_autoscaler_adds_meanwhile_need_not_be_ready_at_once() -> None:
    assert judged(sample(0), *(sample(s, wanted=6) for s in range(1, 11))).state is SoakState.SOAKED
    fewer = judged(sample(0), *(sample(s, wanted=2, ready=2) for s in range(1, 11)))
    assert fewer.state is SoakState.SOAKED


def test_a_failure_that_was_in_the_log_before_is_not_new() -> None:
    before = sample(log_failures=("traceback",))
    assert judged(sample(0, log_failures=("traceback",)), before=before).state is SoakState.WELL_SO_FAR
    later = sample(1, log_failures=("traceback", "oom"))
    assert judged(sample(0), later, before=before).trouble is Trouble.LOG_FAILURE


@pytest.mark.parametrize(
    ("bad", "trouble"),
    [({"ready": 2}, Trouble.NOT_READY), ({"health": DOWN}, Trouble.HEALTH)],
)
def test_a_service_that_is_as_bad_as_before_is_not_well_and_said_to_be_no_worse(
    bad: dict[str, Any], trouble: Trouble
) -> None:
    verdict = judged(*(sample(s, **bad) for s in range(3)), before=sample(**bad))
    assert (verdict.state, verdict.trouble, verdict.worse_than_before) == (
        SoakState.NOT_WELL,
        trouble,
        False,
    )
    assert verdict.reason.endswith("as before the rollback")


def test_where_nobody_knows_how_it_was_before_what_is_bad_counts_as_worse() -> None:
    assert judged(*(sample(s, health=DOWN) for s in range(3)), before=None).worse_than_before


def test_an_endpoint_that_is_not_asked_says_nothing() -> None:
    assert judged(sample(0, health=None), sample(10, health=None)).state is SoakState.SOAKED


# --- metrics ---


@pytest.mark.parametrize(
    ("threshold", "figures", "state", "reason"),
    [
        (LATENCY, [0.5] * 11, "soaked", ""),
        (LATENCY, [0.1, 0.6, 0.6, 0.1, *[0.1] * 7], "soaked", ""),
        (LATENCY, [0.6] * 3, "not_well", "latency_seconds is 0.6, at most 0.5 is allowed"),
        (LATENCY, [None] * 3, "not_well", "its metrics do not tell latency_seconds"),
        (MetricThreshold(name="up", at_least=1), [0.0] * 3, "not_well", "at least 1 is wanted"),
        # One error in ten seconds is 0.1 a second, and one in the first second no more than that.
        (ERRORS, [5.0, 6.0, *[6.0] * 9], "soaked", ""),
        (ERRORS, [5.0, 7.0], "not_well", "errors_total is 0.2 a second, at most 0.1 is allowed"),
        (ERRORS, [5.0, 0.0, 1.0], "well_so_far", ""),  # started anew, then one error
        (ERRORS, [5.0, 0.0, 2.0], "not_well", "0.2 a second"),
        (REQUESTS, [0.0] * 10, "well_so_far", ""),  # traffic may yet come
        (REQUESTS, [0.0] * 11, "not_well", "requests_total is 0 a second, at least 1 is wanted"),
        (REQUESTS, [float(one) for one in range(0, 22, 2)], "soaked", ""),
    ],
)
def test_metrics_are_judged_by_the_policys_bounds(
    threshold: MetricThreshold, figures: list[float | None], state: str, reason: str
) -> None:
    samples = [sample(second, figures=(figure,)) for second, figure in enumerate(figures)]
    verdict = judged(*samples, thresholds=(threshold,))
    assert verdict.state == state, verdict.reason
    assert reason in verdict.reason
    assert (verdict.trouble is Trouble.METRIC) is (state == "not_well")


def test_a_metrics_endpoint_that_does_not_answer_is_not_well() -> None:
    verdict = judged(*(sample(s) for s in range(3)), thresholds=(LATENCY,))
    assert verdict.trouble is Trouble.METRIC
    assert verdict.worse_than_before  # nobody had looked before either


METRICS = """\
# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{code="200",pod="a"} 7
http_requests_total{code="500",pod="a"} 2
http_requests_total{code="500",pod="b"} 3
# TYPE errors_total counter
# TYPE temperature gauge
temperature NaN
# TYPE lag histogram
lag_bucket{le="+Inf"} 4
lag_sum 1.5
lag_count 4
"""


@pytest.mark.parametrize(
    ("name", "labels", "figure"),
    [
        ("http_requests_total", {}, 12),
        ("http_requests_total", {"code": "500"}, 5),
        ("http_requests_total", {"code": "500", "pod": "b"}, 3),
        ("http_requests_total", {"code": "404"}, 0),  # known, and none yet
        ("errors_total", {}, 0),
        ("lag_count", {}, 4),
        ("temperature", {}, None),
        ("unknown_total", {}, None),
        ("http_requests", {}, None),
    ],
)
def test_a_figure_is_the_sum_of_the_samples_that_fit(
    name: str, labels: dict[str, str], figure: float | None
) -> None:
    threshold = MetricThreshold(name=name, labels=labels, at_most=1)
    assert read_metrics(METRICS, [threshold]) == (figure,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<html>502 Bad Gateway</html>",
        "{",
        "a{",
        "a{b=} 1",
        "a 1 2 3 4",
        "latency_seconds x",
        "\x00",
        "a" * 5_000_000,
    ],
)
def test_text_of_another_kind_tells_nothing(text: str) -> None:
    assert read_metrics(text, [LATENCY]) == (None,)


@given(st.text(max_size=80) | st.from_regex(r"[a-z{}=\", 0-9\n#]{0,60}", fullmatch=True))
def test_whatever_a_metrics_endpoint_answers_is_read_without_an_error(text: str) -> None:
    assert len(read_metrics(text, [LATENCY, ERRORS])) == 2


# --- a set, and the words ---


def _watched(service: str, *samples: Sample) -> Watched:
    return Watched(service=service, soak_seconds=10, samples=samples, before=sample())


def test_a_set_has_soaked_only_when_all_of_it_has() -> None:
    soaked, young = _watched("a", sample(0), sample(10)), _watched("b", sample(5), sample(10))
    assert judge_set([soaked, soaked], health_failures=2).state is SoakState.SOAKED
    waiting = judge_set([soaked, young], health_failures=2)
    assert waiting.state is SoakState.WELL_SO_FAR
    assert waiting.reason.startswith("b is well for 5 of 10 s")
    ill = _watched("c", sample(0), sample(1, restarts={"a": 1}))
    verdict = judge_set([soaked, young, ill], health_failures=2)
    assert verdict.state is SoakState.NOT_WELL
    assert verdict.reason.startswith("c: ")


def test_before_and_now_are_told_in_one_line() -> None:
    before = sample(ready=0, health=DOWN, restarts={"a": 4}, reasons=("app: CrashLoopBackOff",))
    said = compare(before, sample(1, log_failures=("traceback",)))
    assert said == (
        "before: 0 of 3 pods ready, 4 restarts, app: CrashLoopBackOff, health endpoint answers 503; "
        "now: 3 of 3 pods ready, 0 restarts, health endpoint answers 200, failures in its log: traceback"
    )
    assert compare(None, sample()).startswith("before: not known; now: 3 of 3 pods ready")


looks = st.builds(
    lambda ready, health: (ready, health),
    st.integers(2, 3),
    st.sampled_from([WELL, DOWN]),
)


@given(st.lists(looks, min_size=1, max_size=30), st.integers(0, 3))
def test_nothing_soaks_with_more_bad_looks_in_a_row_than_are_borne(
    seen: list[tuple[int, HealthSeen]], borne: int
) -> None:
    samples = [sample(second, ready=ready, health=health) for second, (ready, health) in enumerate(seen)]
    verdict = judged(*samples, health_failures=borne)
    for what in ("ready", "health"):
        bad = "".join(
            "x" if (ready < 3 if what == "ready" else health is DOWN) else "." for ready, health in seen
        )
        if "x" * (borne + 1) in bad:
            assert verdict.state is SoakState.NOT_WELL
    if verdict.state is SoakState.SOAKED:
        assert verdict.watched_seconds >= 10
        assert seen[-1] == (3, WELL)
