"""What triage says of the samples: short made-up logs of many tools, in the forms in which logs come."""

import pytest

from runbook.triage.catalogue import builtin_catalogue
from runbook.triage.classes import FailureClass as Class
from runbook.triage.classify import Classification, classify
from runbook.triage.logs import from_bytes
from tests.runbook.triage.build import classified, job, stamped, step
from tests.runbook.triage.samples import Sample, lines_of, samples

ALL = samples()
NEAR_LINES = 3
NO_CLAIM = (Class.UNKNOWN, Class.PASSING)


def _classified(data: bytes) -> Classification:
    return classify([from_bytes("job.txt", data)], catalogue=builtin_catalogue())


@pytest.mark.parametrize("sample", ALL, ids=lambda one: one.id)
def test_a_sample_has_the_class_and_first_cause_that_a_person_would_name(sample: Sample) -> None:
    lines = lines_of(sample)
    found = classified(lines)
    assert found.failure_class is sample.label
    if sample.first and found.first_cause:
        assert abs(found.first_cause.line - (lines.index(sample.first) + 1)) <= NEAR_LINES
    if sample.label in NO_CLAIM:
        assert found.first_cause is None


def _as_columns(lines: list[str]) -> bytes:
    text = "".join(f"build (3.12)\tUNKNOWN STEP\t{line}\n" for line in stamped(lines).decode().splitlines())
    return ("\ufeff" + text).encode()


def _coloured(lines: list[str]) -> bytes:
    return stamped([f"\x1b[31;1m{line[:3]}\x1b[0m{line[3:]}\x1b[K" for line in lines])


@pytest.mark.parametrize("form", [_as_columns, _coloured])
@pytest.mark.parametrize("sample", ALL, ids=lambda one: one.id)
def test_columns_colours_and_marks_change_nothing(sample: Sample, form: object) -> None:
    assert callable(form)
    lines = lines_of(sample)
    plain, dressed = classified(lines), _classified(form(lines))
    assert (dressed.failure_class, dressed.confidence) == (plain.failure_class, plain.confidence)
    assert (dressed.first_cause and dressed.first_cause.line) == (
        plain.first_cause and plain.first_cause.line
    )


def _gitlab(sample: Sample) -> str:
    return "\n".join(
        [f"$ {sample.command}", *sample.lines, f"ERROR: Job failed: exit code {sample.code}", ""]
    )


def _travis(sample: Sample) -> str:
    ended = f'The command "{sample.command}" exited with {sample.code}.'
    return "\n".join(["travis_fold:start:script", f"$ {sample.command}", *sample.lines, ended, ""])


def _azure(sample: Sample) -> str:
    lines = [
        f"##[section]Starting: {sample.command}",
        *sample.lines,
        f"##[error]Bash exited with code '{sample.code}'.",
    ]
    return stamped([*lines, f"##[section]Finishing: {sample.command}"]).decode()


def _jenkins(sample: Sample) -> str:
    return "\n".join(
        [f"+ {sample.command}", *sample.lines, "script returned exit code 1", "Finished: FAILURE", ""]
    )


@pytest.mark.parametrize("form", [_gitlab, _travis, _azure, _jenkins])
@pytest.mark.parametrize(
    "sample",
    [one for one in ALL if one.command and one.code and "##[" not in str(one.lines)],
    ids=lambda one: one.id,
)
def test_other_services_form_never_leads_to_another_class(sample: Sample, form: object) -> None:
    assert callable(form)
    assert _classified(form(sample).encode()).failure_class in (sample.label, *NO_CLAIM)


@pytest.mark.parametrize(
    "sample", [one for one in ALL if one.label not in NO_CLAIM and one.lines], ids=lambda one: one.id
)
def test_an_excerpt_without_its_step_is_never_taken_for_another_class(sample: Sample) -> None:
    found = _classified(("\n".join(sample.lines) + "\n").encode())
    assert found.failure_class in (sample.label, *NO_CLAIM)


@pytest.mark.parametrize(
    "sample", [one for one in ALL if one.label is not Class.UNKNOWN], ids=lambda one: one.id
)
def test_what_a_sample_says_is_no_failure_in_a_job_that_went_well(sample: Sample) -> None:
    tried = [line for line in sample.lines if not line.startswith("##[error]")]
    found = classified(job(step(sample.command or "./all.sh", *tried), step("./deploy.sh", "done")))
    assert found.failure_class in (Class.PASSING, Class.FLAKY_TEST)
