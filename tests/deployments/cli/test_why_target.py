"""What ``runbook why`` understands an argument to be."""

import pytest

from deployments.cli.why_target import LogTarget, RunTarget, parse_target
from runbook.errors import UsageError

PUBLIC = "https://api.github.com"
RUN = RunTarget(repository="o/r", run_id=12)


@pytest.mark.parametrize(
    ("text", "repository", "is_file", "target"),
    [
        ("https://github.com/o/r/actions/runs/12", None, False, RUN),
        ("https://github.com/o/r/actions/runs/12/", None, False, RUN),
        ("https://github.com/o/r/actions/runs/12?pr=3#step:4:1", None, False, RUN),
        ("https://github.com/o/r/actions/runs/12", "O/R", False, RUN),
        ("https://github.com/o/r/actions/runs/12/attempts/2", None, False, RunTarget("o/r", 12, attempt=2)),
        ("https://github.com/o/r/actions/runs/12/job/9", None, False, RunTarget("o/r", 12, job_id=9)),
        (
            "https://github.com/o/r/actions/runs/12/attempts/2/job/9",
            None,
            False,
            RunTarget("o/r", 12, attempt=2, job_id=9),
        ),
        ("12", "o/r", False, RUN),
        ("12", "o/r", True, RUN),
        ("12", None, True, LogTarget("12")),
        ("job.txt", None, True, LogTarget("job.txt")),
        ("job.txt", None, False, LogTarget("job.txt")),
        ("-", None, False, LogTarget("-")),
    ],
)
def test_argument_is_understood_as(
    text: str, repository: str | None, is_file: bool, target: RunTarget | LogTarget
) -> None:
    assert parse_target(text, repository=repository, is_file=is_file, api_url=PUBLIC) == target


@pytest.mark.parametrize(
    ("text", "repository", "says"),
    [
        ("12", None, "--repo"),
        ("https://github.com/o/r/pull/12", None, "not a workflow run's"),
        ("https://github.com/o/r/actions/runs/12", "o/other", "--repo says"),
        ("https://ghe.example.com/o/r/actions/runs/12", None, "GITHUB_API_URL"),
        ("https://github.com.evil.example/o/r/actions/runs/12", None, "GITHUB_API_URL"),
    ],
)
def test_argument_that_means_no_run_is_refused(text: str, repository: str | None, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_target(text, repository=repository, is_file=False, api_url=PUBLIC)
    assert says in str(refused.value)


def test_address_is_looked_for_on_the_host_whose_api_is_named() -> None:
    address = "https://ghe.example.com/o/r/actions/runs/12"
    api = "https://ghe.example.com/api/v3"
    assert parse_target(address, repository=None, is_file=False, api_url=api) == RUN


def test_name_that_begins_like_a_loopback_address_is_no_stand_in() -> None:
    address = "https://github.com/o/r/actions/runs/12"
    assert parse_target(address, repository=None, is_file=False, api_url="http://127.0.0.2:80") == RUN
    with pytest.raises(UsageError, match=r"the API that would be asked is 127\.example\.com"):
        parse_target(address, repository=None, is_file=False, api_url="https://127.example.com")
