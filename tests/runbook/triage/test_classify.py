"""Which class, which first line: the rules of triage, each on a short log of its own."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from runbook.policy.estate import KnownIssue
from runbook.scrub import PLACEHOLDER
from runbook.triage.catalogue import builtin_catalogue, catalogue_with
from runbook.triage.classes import FailureClass as Class
from runbook.triage.classify import classify, classify_scans
from runbook.triage.logs import from_bytes
from tests.runbook.triage.build import classified, job, stamped, step

ANGLE = "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}"
DEMO = Path(__file__).parents[3] / "sandbox" / "scenarios" / "demo.yaml"


@pytest.mark.parametrize(
    ("command", "lines", "code", "expected", "first"),
    [
        (
            "pytest tests/",
            (
                "a.py::test_b FAILED [ 50%]",
                "E   assert 1 == 2",
                "FAILED a.py::test_b",
                "==== 1 failed in 0.1s ====",
            ),
            1,
            Class.TEST_FAILURE,
            "E   assert 1 == 2",
        ),
        (
            "go test ./...",
            ("ok  \ta\t0.1s", "--- FAIL: TestPut (0.0s)", "FAIL\ta/store\t0.2s", "FAIL"),
            1,
            Class.TEST_FAILURE,
            "--- FAIL: TestPut (0.0s)",
        ),
        (
            "npx playwright test",
            (
                f"  ✘  1 [chromium] {ANGLE} a.spec.ts:3:1 {ANGLE} logs in (2s)",
                f"  ✓  1 [chromium] {ANGLE} a.spec.ts",
                "  1 flaky",
            ),
            None,
            Class.FLAKY_TEST,
            "  1 flaky",
        ),
        (
            "cargo build",
            ("error[E0432]: unresolved import `x`", "error: could not compile `app` (lib)"),
            101,
            Class.BUILD_FAILURE,
            "error[E0432]: unresolved import `x`",
        ),
        (
            "cargo clippy -- -D warnings",
            (
                "error: unused variable: `x`",
                "  = note: `-D unused-variables` implied by `-D warnings`",
                "error: could not compile `app` (lib) due to 1 previous error",
            ),
            101,
            Class.LINT_OR_FORMAT,
            "  = note: `-D unused-variables` implied by `-D warnings`",
        ),
        (
            "pip install -r requirements.txt",
            (
                "ERROR: Could not find a version that satisfies the requirement x==9",
                "ERROR: No matching distribution",
            ),
            1,
            Class.DEPENDENCY_RESOLUTION,
            "ERROR: Could not find a version that satisfies the requirement x==9",
        ),
        (
            "docker pull node:22",
            ("Error response from daemon: toomanyrequests: You have reached your pull rate limit.",),
            1,
            Class.RATE_LIMIT,
            "Error response from daemon: toomanyrequests: You have reached your pull rate limit.",
        ),
        (
            "git push",
            (
                "remote: Permission to acme/app.git denied to github-actions[bot].",
                "fatal: unable to access: 403",
            ),
            128,
            Class.PERMISSION,
            "remote: Permission to acme/app.git denied to github-actions[bot].",
        ),
        (
            "npm publish",
            ("npm error code ENEEDAUTH", "npm error need auth This command requires you to be logged in"),
            1,
            Class.AUTHENTICATION_OR_SECRET,
            "npm error code ENEEDAUTH",
        ),
        (
            "aquasecurity/trivy-action@0.28.0",
            ("Total: 2 (HIGH: 1, CRITICAL: 1)",),
            1,
            Class.SECURITY_SCAN,
            "Total: 2 (HIGH: 1, CRITICAL: 1)",
        ),
        (
            "ruff check .",
            ("a.py:3:80: E501 line too long", "Found 1 error."),
            1,
            Class.LINT_OR_FORMAT,
            "a.py:3:80: E501 line too long",
        ),
        (
            "curl -fsSL https://get.example/tool | tar xz",
            ("curl: (56) Recv failure: Connection reset by peer", "gzip: stdin: unexpected end of file"),
            2,
            Class.INFRASTRUCTURE,
            "curl: (56) Recv failure: Connection reset by peer",
        ),
        (
            "deploy",
            ("/home/runner/work/_temp/a.sh: line 1: kubectl: command not found",),
            127,
            Class.WORKFLOW_CONFIGURATION,
            "/home/runner/work/_temp/a.sh: line 1: kubectl: command not found",
        ),
    ],
)
def test_each_kind_of_failure_is_named_with_its_first_line(
    command: str, lines: tuple[str, ...], code: int | None, expected: Class, first: str
) -> None:
    found = classified(job(step("actions/checkout@v4"), step(command, *lines, code=code)))
    assert found.failure_class is expected
    assert found.first_cause is not None
    assert found.first_cause.text == first
    assert found.exit_code == code
    assert found.first_cause in found.evidence
    assert found.confidence >= 0.5


def test_a_job_without_a_failure_is_passing_whatever_its_tests_are_called() -> None:
    noise = (
        "a.py::test_error_500 PASSED",
        "ERROR in the log of a passing test",
        "AssertionError is raised as wanted",
    )
    found = classified(job(step("pytest", *noise, "==== 3 passed in 0.1s ====")))
    assert (found.failure_class, found.first_cause, found.evidence) == (Class.PASSING, None, ())


def test_what_a_script_would_say_is_not_what_it_said() -> None:
    script = ["##[group]Run ./check.sh", 'echo "no space left on device"', "##[endgroup]"]
    assert (
        classified(job([*script, "##[error]Process completed with exit code 1."])).failure_class
        is Class.UNKNOWN
    )


def test_the_first_cause_is_named_not_the_cascade_behind_it() -> None:
    lines = (
        "src/a.c:3:5: error: expected ';'",
        *["noise"] * 50,
        "src/b.c:9:1: error: expected '}'",
        "make: *** [all] Error 2",
    )
    found = classified(job(step("make all", *lines, code=2)))
    assert found.first_cause is not None
    assert found.first_cause.text == "src/a.c:3:5: error: expected ';'"


def test_what_a_program_under_test_prints_weighs_less_than_its_runners_verdict() -> None:
    lines = (
        "toomanyrequests: no",
        "You have exceeded a secondary rate limit",
        "429 Too Many Requests",
        "  1 failing",
    )
    assert classified(job(step("./check.sh", *lines, code=1))).failure_class is Class.TEST_FAILURE


def test_refusals_that_an_unknown_test_runner_prints_explain_nothing() -> None:
    refused = "Error: You do not have permission to deploy"
    assert classified(job(step("./run.sh e2e", refused, code=1))).failure_class is Class.UNKNOWN
    assert classified(job(step("./run.sh", refused, code=1))).failure_class is Class.PERMISSION


def test_a_full_disk_that_a_passing_job_met_is_no_failure() -> None:
    met = step("./build.sh", "write /tmp/a: no space left on device", "freeing some space", "done")
    assert classified(job(met, step("./deploy.sh", "done"))).failure_class is Class.PASSING


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (
            "ReadTimeoutError(\"HTTPSConnectionPool(host='files.example'): Read timed out.\")",
            Class.INFRASTRUCTURE,
        ),
        ("looking in links: /w/wheels", Class.DEPENDENCY_RESOLUTION),
    ],
)
def test_what_kept_a_resolver_from_its_index_is_the_reason_not_what_it_concluded(
    reason: str, expected: Class
) -> None:
    lines = (reason, "ERROR: Could not find a version that satisfies the requirement x (from versions: none)")
    assert classified(job(step("pip install x", *lines, code=1))).failure_class is expected


def test_errors_of_a_step_that_went_well_do_not_explain_another_ones_failure() -> None:
    retried = step("npm ci", "npm warn retrying", "429 Too Many Requests", "added 12 packages")
    failed = step("pytest", "E   assert x", "=== 1 failed in 1s ===", code=1)
    assert classified(job(retried, failed)).failure_class is Class.TEST_FAILURE


def test_the_step_that_the_api_names_decides_where_several_failed() -> None:
    lint = step("ruff check .", "a.py:1:1: F401 unused", "Found 1 error.", code=1)
    tests = step("pytest", "E   assert x", "=== 1 failed in 1s ===", code=1)
    assert classified(job(lint, tests)).failure_class is Class.LINT_OR_FORMAT
    named = classified(job(lint, tests), failing_steps=("Run pytest",))
    assert (named.failure_class, named.failing_step) == (Class.TEST_FAILURE, "Run pytest")


def test_a_step_that_may_fail_is_not_the_cause_where_the_job_went_on_long_after_it() -> None:
    allowed = step("ruff check .", "a.py:1:1: F401 unused", "Found 1 error.", code=1)
    between = [step(f"./build.sh {part}") for part in "abc"]
    failed = step("pytest", "E   assert x", "=== 1 failed in 1s ===", code=1)
    assert classified(job(allowed, *between, failed)).failure_class is Class.TEST_FAILURE


def test_a_cache_saved_after_the_job_says_that_the_job_succeeded() -> None:
    allowed = step("./flaky.sh", "E   assert x", code=1)
    lines = [*job(allowed)[:-1], "Cache saved with key: pip-1", "Cleaning up orphan processes"]
    assert classified(lines).failure_class is Class.PASSING


def test_an_unknown_failure_names_its_step_and_guesses_and_no_line() -> None:
    found = classified(job(step("./mystery.sh", "it did not work", "it: Permission denied", code=3)))
    assert (found.failure_class, found.first_cause, found.exit_code) == (Class.UNKNOWN, None, 3)
    assert "Run ./mystery.sh" in found.summary
    assert "Best guesses: permission" in found.summary
    assert found.confidence < 0.5


def test_a_failed_step_that_left_no_trace_is_unknown_not_passing() -> None:
    assert classified(job(step("true")), failing_steps=("Deploy",)).failure_class is Class.UNKNOWN
    assert classify_scans([]).failure_class is Class.UNKNOWN


def _cancelled_after(minutes: int, seconds: int = 3) -> list[bytes]:
    head = stamped(["Current runner version: '2.329.0'", *step("./long.sh", "working")])
    return [
        head,
        f"2026-11-24T06:{minutes:02}:{seconds:02}.0Z ##[error]The operation was canceled.\n".encode(),
    ]


@pytest.mark.parametrize(
    ("minutes", "seconds", "expected"),
    [
        (30, 8, Class.TIMEOUT),
        (45, 2, Class.TIMEOUT),
        (17, 5, Class.CANCELLED),
        (30, 50, Class.CANCELLED),
        (0, 9, Class.CANCELLED),
    ],
)
def test_cancelled_at_a_round_number_of_minutes_is_a_time_limit(
    minutes: int, seconds: int, expected: Class
) -> None:
    source = from_bytes("job.txt", b"".join(_cancelled_after(minutes, seconds)))
    assert classify([source], catalogue=builtin_catalogue()).failure_class is expected


def test_a_failure_before_the_cancelling_is_what_is_named() -> None:
    lines = step("pytest", "E   assert x", "=== 1 failed in 1s ===", "##[error]The operation was canceled.")
    assert classified(job(lines)).failure_class is Class.TEST_FAILURE


def test_a_step_that_ran_out_of_time_did_so_whatever_its_tests_printed() -> None:
    lines = (
        "FAIL a.test.js",
        "Tests:       1 failed, 2 total",
        "##[error]The action 'Run tests' has timed out after 30 minutes.",
    )
    found = classified(job(step("npm test", *lines)))
    assert found.failure_class is Class.TIMEOUT
    assert found.first_cause is not None
    assert "has timed out" in found.first_cause.text


def test_of_several_jobs_the_one_with_a_cause_decides_not_the_one_cancelled_with_it() -> None:
    cancelled = from_bytes("b.txt", b"".join(_cancelled_after(3)), job="b")
    failed = from_bytes(
        "a.txt", stamped(job(step("pytest", "E   assert x", "=== 1 failed in 1s ===", code=1))), job="a"
    )
    found = classify([cancelled, failed], catalogue=builtin_catalogue())
    assert found.failure_class is Class.TEST_FAILURE
    assert found.first_cause is not None
    assert found.first_cause.file == "a.txt"


# --- Caches ---

RESTORED = step(
    "actions/cache@v4",
    "  key: pip-Linux-2",
    "Cache hit for restore-key: pip-Linux-1",
    "/*stdin*\\ : Decoding error (36) : Corrupted block detected",
    "##[warning]Failed to restore: Tar failed with error: The process '/usr/bin/tar' failed with exit code 2",
)
OTHER_CACHE = step("actions/cache@v4", "Cache restored from key: npm-Linux-7")
HASHES = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."


def test_a_broken_cache_is_named_where_it_was_restored_with_its_key_alone() -> None:
    found = classified(job(OTHER_CACHE, RESTORED, step("pip install -r r.txt", HASHES, code=1)))
    assert found.failure_class is Class.CACHE_CORRUPTION
    assert found.cache_keys == ("pip-Linux-1",)
    assert found.first_cause is not None
    assert "Decoding error" in found.first_cause.text


def test_a_wrong_hash_alone_implicates_the_caches_of_that_tool() -> None:
    pip = step("actions/cache@v4", "Cache restored from key: setup-python-Linux-pip-9")
    found = classified(job(OTHER_CACHE, pip, step("pip install -r r.txt", HASHES, code=1)))
    assert found.cache_keys == ("setup-python-Linux-pip-9",)


def test_a_cache_that_could_not_be_restored_does_not_explain_another_failure() -> None:
    failed = step("make", "src/a.c:3:5: error: expected ';'", "make: *** [all] Error 1", code=2)
    assert classified(job(RESTORED, failed)).failure_class is Class.BUILD_FAILURE


def test_the_demos_failed_job_is_a_corrupt_cache_and_its_green_ones_pass() -> None:
    logs = yaml.safe_load(DEMO.read_text())["repositories"]["acme/voice-agent"]["logs"]
    found = {
        name: classify([from_bytes(name, text.replace("␛", "\x1b").encode())], catalogue=builtin_catalogue())
        for name, text in logs.items()
    }
    assert found["corrupt-cache"].failure_class is Class.CACHE_CORRUPTION
    assert found["corrupt-cache"].cache_keys == ("pip-Linux-5c0ffee4b1d2a9e8f7d6c5b4a3928170",)
    assert {found[name].failure_class for name in ("green", "green-cold")} == {Class.PASSING}


# --- What is shown and kept ---


def _failed_with(line: str) -> list[str]:
    return job(step("pytest", line, "=== 1 failed in 1s ===", code=1))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("E   AssertionError: 12 != 13 at 0x7f3a", "E   AssertionError: 99 != 4 at 0x11ee", True),
        (
            "E   FileNotFoundError: /tmp/pytest-1/a/b.txt",
            "E   FileNotFoundError: /tmp/pytest-22/c/b.txt",
            True,
        ),
        ("E   KeyError: 5c0ffee4b1d2a9e8", "E   KeyError: 0ddba11c8a7b6c5d", True),
        ("E   AssertionError: no voice", "E   AssertionError: no wake word", False),
    ],
)
def test_a_fingerprint_is_the_same_for_the_same_failure(one: str, other: str, same: bool) -> None:
    prints = {classified(_failed_with(line)).fingerprint for line in (one, other)}
    assert (len(prints) == 1) is same


def test_shown_text_has_no_secret_time_or_colour_and_a_readable_length() -> None:
    token = "ghp_" + "a1B2" * 9
    found = classified(_failed_with(f"\x1b[31mE   AssertionError: {token} {'x' * 3000}\x1b[0m"))
    assert found.first_cause is not None
    assert found.first_cause.text.startswith(f"E   AssertionError: {PLACEHOLDER} xx")
    assert len(found.first_cause.text) <= 400
    assert token not in found.model_dump_json()


def test_the_reset_of_a_rate_limit_is_read_where_the_log_names_it() -> None:
    line = "API rate limit exceeded for installation. Limit resets at 2026-11-24 07:00:00 UTC."
    found = classified(job(step("gh api", line, code=1)))
    assert found.rate_limit_reset_at == datetime(2026, 11, 24, 7, tzinfo=UTC)


def test_a_policys_known_issue_brings_its_class_and_its_fix() -> None:
    issue = KnownIssue(
        id="dongle",
        title="The licence dongle sleeps",
        failure_class=Class.INFRASTRUCTURE,
        pattern=r"dongle \d+ does not answer",
        fix="Wake the dongle.",
        examples=("dongle 3 does not answer",),
    )
    lines = stamped(job(step("./sign.sh", "dongle 3 does not answer", code=4)))
    found = classify([from_bytes("log", lines)], catalogue=catalogue_with((issue,)))
    assert (found.failure_class, found.proposal) == (Class.INFRASTRUCTURE, "Wake the dongle.")


# --- Other services' logs, and pieces of logs ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "travis_fold:start:script\nE   assert x\n=== 1 failed in 1s ===\nDone. Your build exited with 1.\n",
            Class.TEST_FAILURE,
        ),
        ("$ make\nsrc/a.c:3:5: error: no\nERROR: Job failed: exit code 1\n", Class.BUILD_FAILURE),
        ("ERROR: the word alone\nJob succeeded\n", Class.PASSING),
        (
            "##[section]Starting: Bash\ncurl: (6) Could not resolve host: a\n##[error]Bash exited with code '6'.\n",
            Class.INFRASTRUCTURE,
        ),
        (
            "Error response from daemon: toomanyrequests: You have reached your pull rate limit\n",
            Class.RATE_LIMIT,
        ),
        ("all quiet\n", Class.PASSING),
        ("", Class.PASSING),
    ],
)
def test_other_services_logs_and_mere_excerpts_are_understood(text: str, expected: Class) -> None:
    source = from_bytes("log", text.encode())
    assert classify([source], catalogue=builtin_catalogue()).failure_class is expected


def test_in_ghs_columns_each_job_is_judged_by_itself() -> None:
    def columns(name: str, lines: list[str]) -> str:
        return "".join(f"{name}\tUNKNOWN STEP\t2026-11-24T06:00:00.1Z {line}\n" for line in lines)

    green = columns("docs", job(step("make docs", "E   assert is explained here")))
    red = columns("unit", job(step("pytest", "E   assert x", "=== 1 failed in 1s ===", code=1)))
    found = classify([from_bytes("run.log", (green + red).encode())], catalogue=builtin_catalogue())
    assert found.failure_class is Class.TEST_FAILURE
    assert found.first_cause is not None
    assert found.first_cause.line == green.count("\n") + 5
    assert "'unit'" in found.summary
