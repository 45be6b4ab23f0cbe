"""What triage says of the samples: short made-up logs of many tools, in the forms in which logs come."""

from collections.abc import Iterator

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


def _as_columns(lines: list[str]) -> bytes:
    text = "".join(f"build (3.12)\tUNKNOWN STEP\t{line}\n" for line in stamped(lines).decode().splitlines())
    return ("\ufeff" + text).encode()


def _coloured(lines: list[str]) -> bytes:
    return stamped([f"\x1b[31;1m{line[:3]}\x1b[0m{line[3:]}\x1b[K" for line in lines])


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


DRESSES = (_as_columns, _coloured)
SERVICES = (_gitlab, _travis, _azure, _jenkins)


@pytest.mark.parametrize("sample", ALL, ids=lambda one: one.id)
def test_a_sample_says_the_same_in_every_form_in_which_it_may_come(sample: Sample) -> None:
    """One test for a sample, for there are hundreds; it names every rule that the sample breaks."""
    plain = classified(lines_of(sample))
    broken = [*_unlike_a_person(sample, plain), *_changed_by_its_dress(sample, plain), *_mistaken(sample)]
    assert not broken, "\n".join(broken)


def _unlike_a_person(sample: Sample, plain: Classification) -> Iterator[str]:
    """It has the class and the first cause that a person would name."""
    if plain.failure_class is not sample.label:
        yield f"it is {sample.label}, not {plain.failure_class}"
    if sample.first and plain.first_cause:
        wanted = lines_of(sample).index(sample.first) + 1
        if abs(plain.first_cause.line - wanted) > NEAR_LINES:
            yield f"its first cause is line {wanted}, not {plain.first_cause.line}"
    if sample.label in NO_CLAIM and plain.first_cause is not None:
        yield f"line {plain.first_cause.line} is named as the cause of nothing"


def _changed_by_its_dress(sample: Sample, plain: Classification) -> Iterator[str]:
    """Columns, colours and marks change nothing."""
    for dress in DRESSES:
        dressed = _classified(dress(lines_of(sample)))
        if _said(dressed) != _said(plain):
            yield f"{dress.__name__}: {_said(dressed)}, not {_said(plain)}"


def _said(found: Classification) -> tuple[Class, float, int | None]:
    return found.failure_class, found.confidence, found.first_cause.line if found.first_cause else None


def _mistaken(sample: Sample) -> Iterator[str]:
    """No form leads to another class, and in a job that went well nothing of it is a failure."""
    own = (sample.label, *NO_CLAIM)
    if sample.command and sample.code and "##[" not in str(sample.lines):
        for service in SERVICES:
            found = _classified(service(sample).encode()).failure_class
            if found not in own:
                yield f"{service.__name__}: {found}"
    if sample.label not in NO_CLAIM and sample.lines:
        found = _classified(("\n".join(sample.lines) + "\n").encode()).failure_class
        if found not in own:
            yield f"an excerpt without its step: {found}"
    if sample.label is not Class.UNKNOWN:
        tried = [line for line in sample.lines if not line.startswith("##[error]")]
        well = job(step(sample.command or "./all.sh", *tried), step("./deploy.sh", "done"))
        found = classified(well).failure_class
        if found not in (Class.PASSING, Class.FLAKY_TEST):
            yield f"in a job that went well: {found}"
