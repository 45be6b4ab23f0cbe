"""Reports in XML: JUnit (by junitparser) and Cobertura, which coverage.py writes too; and lcov's lines of text."""

import xml.etree.ElementTree as ET
from functools import partial
from itertools import count
from typing import IO

from junitparser import Attr, Error, Failure, TestCase
from pydantic import ValidationError

from runbook.artifacts.bounded import Document, Record, Unreadable
from runbook.artifacts.findings import Coverage, FailedTest, Findings, Worst, shortened

_COBERTURA_ROOT = "coverage"
_JUNIT_ROOTS = ("testsuites", "testsuite")
_LONGEST_LCOV_LINE_BYTES = 65_536
_MOST_LCOV_LINES = 2_000_000


class _Case(TestCase):
    """A test as pytest, gtest, jest and others write it: with the place of its source."""

    file = Attr()
    line = Attr()
    report_line = Attr()


def read(stream: IO[bytes], name: str) -> Findings:
    """Read a JUnit or Cobertura report; any other XML says nothing.

    Args:
        stream: The file.
        name: What it is called in the findings.

    Raises:
        Unreadable: It is no XML, or a hostile one.
    """
    document = Document(stream, record="testcase", parts=("failure", "error"), roots=_JUNIT_ROOTS)
    root = document.root
    if root is None or root.tag not in (*_JUNIT_ROOTS, _COBERTURA_ROOT):
        return Findings()
    return _cobertura(root, name) if root.tag == _COBERTURA_ROOT else _junit(document, name)


def read_lcov(stream: IO[bytes], name: str) -> Findings:
    """Read an lcov tracefile's totals (geninfo(1): ``LF`` lines that count, ``LH`` lines that were run).

    Args:
        stream: The file.
        name: What it is called in the findings.

    Raises:
        Unreadable: Its numbers make no sense, or it is too long.
    """
    totals = {b"LF": 0, b"LH": 0}
    for number_of_lines in count(1):
        line = stream.readline(_LONGEST_LCOV_LINE_BYTES)
        if not line:
            break
        if number_of_lines > _MOST_LCOV_LINES:  # a part of it would say another percentage
            raise Unreadable(f"it has more than {_MOST_LCOV_LINES:,} lines")
        key, _, value = line.partition(b":")
        number = value.strip()
        if key in totals and number.isdigit() and len(number) < 12:
            totals[key] += int(number)
    if not totals[b"LF"]:
        return Findings()
    return _coverage(100 * totals[b"LH"] / totals[b"LF"], name)


def _junit(document: Document, name: str) -> Findings:
    failed = Worst[partial[FailedTest]]()
    run = 0
    for record in document.records():
        run += 1
        if len(record.element):
            make = shortened(_failed(record, name))
            failed.add(make, (make.keywords["suite"], make.keywords["name"]))
    kept, beyond = failed.kept()
    cut = (f"{name}: {document.cut}",) if document.cut else ()
    return Findings(failed_tests=tuple(make() for make in kept), tests_run=run, left_out=beyond, notes=cut)


def _failed(record: Record, name: str) -> partial[FailedTest]:
    case = _Case.fromelem(record.element)  # type: ignore[no-untyped-call]
    bad = next(one for one in case.result if isinstance(one, Failure | Error))
    suite = next((one for one in record.within if one.tag == "testsuite"), record.element)
    return partial(
        FailedTest,
        suite=case.classname or suite.get("name") or "",
        name=case.name or "(a test without a name)",
        message=bad.message or bad.text or bad.type or "",
        file=case.file or suite.get("file", ""),
        line=_line(case.line),
        report=name,
        report_line=_line(case.report_line) or 1,
    )


def _line(value: str | None) -> int | None:
    # pytest counts from 0 here and others from 1; one line off still leads to the test.
    return int(value) if value and value.isascii() and value.isdigit() and len(value) < 10 else None


def _cobertura(root: ET.Element, name: str) -> Findings:
    try:
        return _coverage(100 * float(root.get("line-rate", "")), name)
    except ValueError as error:
        raise Unreadable("it names no line rate") from error


def _coverage(percent: float, name: str) -> Findings:
    try:
        return Findings(coverage=(Coverage(line_percent=percent, report=name),))
    except ValidationError as error:
        raise Unreadable(f"it says that {percent:g} % of the lines were run") from error
