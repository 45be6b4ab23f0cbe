"""Reports in XML: JUnit (by junitparser) and Cobertura, which coverage.py writes too; and lcov's lines of text."""

import xml.etree.ElementTree as ET
from typing import IO, cast

from junitparser import Attr, Error, Failure, JUnitXml, TestCase, TestSuite
from pydantic import ValidationError

from runbook.artifacts.bounded import Tree, Unreadable, read_xml
from runbook.artifacts.findings import Coverage, FailedTest, Findings

_COBERTURA_ROOT = "coverage"
_JUNIT_ROOTS = ("testsuites", "testsuite")
_LONGEST_LCOV_LINE_BYTES = 65_536
_MOST_FAILED = 2_000


class _Case(TestCase):
    """A test as pytest, gtest, jest and others write it: with the place of its source."""

    file = Attr()
    line = Attr()
    report_line = Attr()


class _Suite(TestSuite):
    testcase = _Case


class _Report(JUnitXml):
    testsuite = _Suite


def read(stream: IO[bytes], name: str) -> Findings:
    """Read a JUnit or Cobertura report; any other XML says nothing.

    Args:
        stream: The file.
        name: What it is called in the findings.

    Raises:
        Unreadable: It is no XML, or a hostile one.
    """
    tree = read_xml(stream, only_root=(_COBERTURA_ROOT,))
    if tree.root.tag == _COBERTURA_ROOT:
        return _cobertura(tree.root, name)
    if tree.root.tag in _JUNIT_ROOTS:
        return _junit(tree, name)
    return Findings()


def read_lcov(stream: IO[bytes], name: str) -> Findings:
    """Read an lcov tracefile's totals (geninfo(1): ``LF`` lines that count, ``LH`` lines that were run).

    Args:
        stream: The file.
        name: What it is called in the findings.

    Raises:
        Unreadable: Its numbers make no sense.
    """
    totals = {b"LF": 0, b"LH": 0}
    while line := stream.readline(_LONGEST_LCOV_LINE_BYTES):
        key, _, value = line.partition(b":")
        number = value.strip()
        if key in totals and number.isdigit() and len(number) < 12:
            totals[key] += int(number)
    if not totals[b"LF"]:
        return Findings()
    return _coverage(100 * totals[b"LH"] / totals[b"LF"], name)


def _junit(tree: Tree, name: str) -> Findings:
    failed: list[FailedTest] = []
    run = beyond = 0
    report = _Report.fromroot(tree.root)  # type: ignore[arg-type] # its annotation means ElementTree's elements
    for suite in report:
        for each in suite:
            case = cast(_Case, each)  # by _Suite.testcase
            run += 1
            bad = next((one for one in case.result if isinstance(one, Failure | Error)), None)
            if bad is None:
                continue
            if len(failed) >= _MOST_FAILED:
                beyond += 1
                continue
            failed.append(
                FailedTest(
                    suite=case.classname or suite.name or "",
                    name=case.name or "(a test without a name)",
                    message=bad.message or bad.text or bad.type or "",
                    file=case.file or suite._elem.get("file", ""),
                    line=_line(case.line),
                    report=name,
                    report_line=_line(case.report_line) or 1,
                )
            )
    cut = (f"{name}: {tree.cut}",) if tree.cut else ()
    return Findings(failed_tests=tuple(failed), tests_run=run, left_out=beyond, notes=cut)


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
