"""A step of the runbook counts as done only if a story test ran it; table and tests cannot drift apart."""

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from runbook.coverage import COLUMNS, RunbookStep, StepStatus, coverage, load_steps
from runbook.policy import PROCEDURES

ROOT = Path(__file__).parents[2]
_FIRST_AND_LAST = {
    "IR": 32,
    "RB": 23,
    "SR": 20,
    "CM": 15,
    "EB": 19,
    "KI": 9,
    "MA": 8,
    "CO": 1,
    "UC": 5,
}


def _executes(source: str, path: str) -> Iterator[tuple[str, str]]:
    """Yield (step id, node id) for each ``@pytest.mark.executes`` in the text of a test module."""

    def visit(body: Iterable[ast.stmt], prefix: str) -> Iterator[tuple[str, str]]:
        for node in body:
            if isinstance(node, ast.ClassDef):
                yield from visit(node.body, f"{prefix}::{node.name}")
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                for mark in node.decorator_list:
                    if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.executes":
                        yield from ((ast.literal_eval(step), f"{prefix}::{node.name}") for step in mark.args)

    yield from visit(ast.parse(source).body, path)


def _all_marks() -> list[tuple[str, str]]:
    return [
        mark
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for mark in _executes(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
    ]


def _defines(reference: str) -> bool:
    """Tell whether ``module:function`` names something that a module of ours defines; nothing is imported."""
    module, _, name = reference.partition(":")
    for path in (ROOT / f"{module.replace('.', '/')}.py", ROOT / module.replace(".", "/") / "__init__.py"):
        if path.is_file():
            body = ast.parse(path.read_text(encoding="utf-8")).body
            return any(
                isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name for node in body
            )
    return False


def _faults(steps: Iterable[RunbookStep], marks: Iterable[tuple[str, str]]) -> list[str]:
    """Return what does not fit between the table and the story tests."""
    marked = set(marks)
    done = {step.id: step for step in steps if step.status is StepStatus.DONE}
    faults = [
        f"{node} executes {step}, which the table does not call done"
        for step, node in marked
        if step not in done
    ]
    for step in done.values():
        if (step.id, step.test) not in marked:
            faults.append(f"{step.id} is done, but {step.test or 'no test'} does not carry its mark")
        if not _defines(step.step):
            faults.append(f"{step.id} is done by {step.step}, which does not exist")
    return sorted(faults)


def test_what_the_table_calls_done_is_done_by_a_step_and_a_story_that_exist() -> None:
    assert _faults(load_steps(), _all_marks()) == []


def test_the_table_has_every_step_of_the_runbook_once_and_in_order() -> None:
    expected = [
        f"{section}-{number:02}" for section, last in _FIRST_AND_LAST.items() for number in range(1, last + 1)
    ]
    assert [step.id for step in load_steps()] == expected
    assert len(expected) == 132


def test_a_step_that_is_not_done_names_the_procedure_that_will_do_it_and_no_test() -> None:
    for step in load_steps():
        if step.status is StepStatus.NOT_YET:
            procedure, _, how = step.step.partition(": ")
            assert procedure in {*PROCEDURES, "doctor", "policy"}, step.id
            assert how, step.id
        if step.status is not StepStatus.DONE:
            assert step.test == "", step.id


def test_every_step_says_what_is_done_about_it() -> None:
    counts = Counter(step.what for step in load_steps())
    assert all(step.what for step in load_steps())
    assert [what for what, count in counts.items() if count > 1] == []


def test_coverage_has_exactly_the_settled_keys_and_filters_by_status() -> None:
    rows = coverage()
    assert len(rows) == len(load_steps())
    assert all(list(row) == ["id", "status", "step", "test"] for row in rows)
    assert {row["status"] for row in coverage([StepStatus.NOT_YET])} <= {"not_yet"}
    assert sum(len(coverage([status])) for status in StepStatus) == len(rows)


def _step(**changes: str) -> RunbookStep:
    known = dict.fromkeys(COLUMNS, "x") | {
        "id": "IR-05",
        "status": "done",
        "step": "runbook.decisions.severity:decide_severity",
        "test": "tests/flows/test_story.py::test_story",
    }
    return RunbookStep.model_validate(known | changes)


MARK = ("IR-05", "tests/flows/test_story.py::test_story")


@pytest.mark.parametrize(
    ("steps", "marks", "fault"),
    [
        ([_step()], [MARK], None),
        ([_step(status="not_yet")], [MARK], "IR-05, which the table does not call done"),
        ([_step(status="refused")], [MARK], "IR-05, which the table does not call done"),
        ([], [MARK], "IR-05, which the table does not call done"),
        ([_step()], [], "does not carry its mark"),
        ([_step(test="")], [MARK], "no test does not carry its mark"),
        ([_step(test="tests/flows/test_story.py::test_other")], [MARK], "test_other does not carry its mark"),
        ([_step(step="runbook.decisions.severity:decide")], [MARK], "which does not exist"),
        ([_step(step="runbook.decisions.gone:decide_severity")], [MARK], "which does not exist"),
        ([_step(step="triage-failed-run: decide severity")], [MARK], "which does not exist"),
    ],
)
def test_a_table_and_stories_that_disagree_are_found(
    steps: list[RunbookStep], marks: list[tuple[str, str]], fault: str | None
) -> None:
    faults = _faults(steps, marks)
    assert (len(faults) == 1 and fault in faults[0]) if fault else faults == []


def test_marks_are_read_from_functions_and_classes() -> None:
    source = """
@pytest.mark.executes("IR-01", "IR-02")
@pytest.mark.other("IR-03")
def test_one(): ...
class TestMore:
    @pytest.mark.executes("IR-04")
    def test_two(self): ...
"""
    assert list(_executes(source, "t.py")) == [
        ("IR-01", "t.py::test_one"),
        ("IR-02", "t.py::test_one"),
        ("IR-04", "t.py::TestMore::test_two"),
    ]
