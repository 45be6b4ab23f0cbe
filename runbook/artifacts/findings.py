"""What reports say, in one shape whatever tool wrote them; texts are cut, scrubbed and on one line."""

from collections.abc import Hashable, Iterable
from enum import StrEnum
from functools import partial
from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, Field

from runbook.models import Frozen
from runbook.scrub import neutralise_terminal, scrub

MOST_KEPT = 200
"""Findings of each kind that are kept of a run; the others are counted."""

_SHOWN_CHARACTERS = 400
_READ_CHARACTERS = 2_000

T = TypeVar("T")


def one_line(text: str) -> str:
    """Return the beginning of an outside text as one line without secrets and control codes."""
    # What is kept may be stored as a task's result, so it is scrubbed here and not only where it is shown (R8).
    plain = " ".join(scrub(neutralise_terminal(text[:_READ_CHARACTERS])).split())
    return plain if len(plain) <= _SHOWN_CHARACTERS else plain[: _SHOWN_CHARACTERS - 1] + "…"


Text = Annotated[str, AfterValidator(one_line)]


class VulnerabilitySeverity(StrEnum):
    """How bad a scanner calls a finding, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, word: str) -> "VulnerabilitySeverity":
        """Read a scanner's word for it (npm says *moderate*, some say *info*)."""
        word = {"moderate": "medium", "info": "low", "negligible": "low"}.get(
            word.casefold(), word.casefold()
        )
        return cls(word) if word in set(cls) else cls.UNKNOWN

    @property
    def rank(self) -> int:
        """Position from worst (0) on."""
        return list(VulnerabilitySeverity).index(self)


class FindingLevel(StrEnum):
    """How a static check ranks a finding (SARIF 2.1.0, 3.27.10), worst first."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    NONE = "none"

    @property
    def rank(self) -> int:
        """Position from worst (0) on."""
        return list(FindingLevel).index(self)


class FailedTest(Frozen):
    """A test that failed, or could not be run.

    Args:
        suite: Its class, or the suite where it names none.
        name: Its own name, with its parameters.
        message: What it says about the failure.
        file: Its source file; "" where the report names none.
        line: Its line there, 1-based; None where the report names none.
        report: The report's file.
        report_line: Where in the report it stands.
    """

    suite: Text
    name: Text
    message: Text = ""
    file: Text = ""
    line: int | None = None
    report: Text = ""
    report_line: int = 1

    @property
    def identity(self) -> str:
        """What names the test, whatever run it is in."""
        return f"{self.suite}::{self.name}" if self.suite else self.name


class Vulnerability(Frozen):
    """A known hole in a package that the run uses.

    Args:
        id: CVE, GHSA, PYSEC or the like.
        package: The package.
        installed: The version that is installed; "" where the scanner does not say.
        fixed: The first version without it; "" where there is none.
        severity: How bad the scanner calls it.
        report: The report's file.
    """

    id: Text
    package: Text
    installed: Text = ""
    fixed: Text = ""
    severity: VulnerabilitySeverity = VulnerabilitySeverity.UNKNOWN
    report: Text = ""


class CodeFinding(Frozen):
    """What a static check found in the code, an image's configuration or the history.

    Args:
        tool: Who found it.
        rule: The rule's id.
        level: How the check ranks it.
        message: What it says.
        file: Where.
        line: The line there, 1-based; None where there is none.
        security: Whether the rule is about security.
    """

    tool: Text
    rule: Text
    level: FindingLevel
    message: Text = ""
    file: Text = ""
    line: int | None = None
    security: bool = False


class Coverage(Frozen):
    """How many of the lines were run by tests.

    Args:
        line_percent: Of the lines that count.
        report: The report's file.
        before_percent: In the same report of the last green run; None where there is none to compare with.
    """

    line_percent: float = Field(ge=0, le=100, allow_inf_nan=False)
    report: Text = ""
    before_percent: float | None = None


class Findings(Frozen):
    """What one or several reports say; empty where they say nothing bad.

    Args:
        failed_tests: The tests that failed, each once.
        vulnerabilities: The worst first.
        code_findings: The worst first.
        coverage: One for each coverage report.
        tests_run: Tests that the reports name, failed or not.
        left_out: Findings beyond those that are kept.
        notes: What was not read, and why.
        incomplete: Whether reading again may find more: GitHub did not answer, or the time was over.
    """

    failed_tests: tuple[FailedTest, ...] = ()
    vulnerabilities: tuple[Vulnerability, ...] = ()
    code_findings: tuple[CodeFinding, ...] = ()
    coverage: tuple[Coverage, ...] = ()
    tests_run: int = 0
    left_out: int = 0
    notes: tuple[Text, ...] = ()
    incomplete: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing is there to be shown but notes."""
        return not (self.failed_tests or self.vulnerabilities or self.code_findings or self.coverage)


class Worst(Generic[T]):
    """The worst of very many findings, each once, in the memory of a few; of equally bad ones the first."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._kept: list[tuple[tuple[int, ...], T]] = []
        self._dropped = 0

    def add(self, one: T, key: Hashable, *rank: int) -> None:
        """Keep a finding unless enough worse ones are kept.

        Args:
            one: The finding.
            key: What makes another one the same.
            rank: How bad it is, the worst lowest.
        """
        mark = hash(key)  # the keys themselves may be large
        if mark in self._seen:
            return
        self._seen.add(mark)
        self._kept.append((rank, one))
        if len(self._kept) >= 2 * MOST_KEPT:
            self._drop()

    def kept(self) -> tuple[tuple[T, ...], int]:
        """Return the worst, and how many others were dropped."""
        self._drop()
        return tuple(one for _, one in self._kept), self._dropped

    def _drop(self) -> None:
        self._kept.sort(key=lambda ranked: ranked[0])
        self._dropped += max(0, len(self._kept) - MOST_KEPT)
        del self._kept[MOST_KEPT:]


class Gathered:
    """Findings of one report as its reader comes upon them; only those that are kept are made.

    Making one cleans its texts, which takes a thousand times as long as reading them does.
    """

    def __init__(self) -> None:
        self._holes = Worst[partial[Vulnerability]]()
        self._code = Worst[partial[CodeFinding]]()

    def hole(self, make: partial[Vulnerability]) -> None:
        """Take a vulnerability.

        Args:
            make: Makes it of named fields.
        """
        make = shortened(make)
        of = make.keywords
        self._holes.add(make, (of["id"], of["package"], of["installed"]), of["severity"].rank)

    def code(self, make: partial[CodeFinding]) -> None:
        """Take what a static check found.

        Args:
            make: Makes it of named fields.
        """
        make = shortened(make)
        of = make.keywords
        # By the message as it will be shown, as nearly as costs nothing.
        shown = " ".join(of["message"].split())[:_SHOWN_CHARACTERS]
        key = (of["rule"], of["file"], of["line"], shown)
        self._code.add(make, key, of["level"].rank, not of["security"])

    def findings(self, notes: Iterable[str]) -> Findings:
        """Make those that are kept.

        Args:
            notes: What was not read of the report.
        """
        holes, more_holes = self._holes.kept()
        code, more_code = self._code.kept()
        return Findings(
            vulnerabilities=tuple(make() for make in holes),
            code_findings=tuple(make() for make in code),
            left_out=more_holes + more_code,
            notes=tuple(notes),
        )


def shortened(make: "partial[T]") -> "partial[T]":
    """Return it without what is not read of its texts: what waits to be made takes little memory."""
    short = {
        name: value[:_READ_CHARACTERS] if type(value) is str else value
        for name, value in make.keywords.items()
    }
    return partial(make.func, **short)


def joined(parts: Iterable[Findings]) -> Findings:
    """Return several reports' findings as one, each once, the worst kept where they are too many."""
    found = list(parts)
    tests, holes, code = Worst[FailedTest](), Worst[Vulnerability](), Worst[CodeFinding]()
    for part in found:
        for test in part.failed_tests:
            tests.add(test, test.identity)
        for hole in part.vulnerabilities:
            holes.add(hole, (hole.id, hole.package, hole.installed), hole.severity.rank)
        for one in part.code_findings:
            code.add(one, (one.rule, one.file, one.line, one.message), one.level.rank, not one.security)
    (kept_tests, more_tests), (kept_holes, more_holes), (kept_code, more_code) = (
        tests.kept(),
        holes.kept(),
        code.kept(),
    )
    return Findings(
        failed_tests=kept_tests,
        vulnerabilities=kept_holes,
        code_findings=kept_code,
        coverage=tuple(one for part in found for one in part.coverage)[:MOST_KEPT],
        tests_run=sum(part.tests_run for part in found),
        left_out=sum(part.left_out for part in found) + more_tests + more_holes + more_code,
        notes=tuple(dict.fromkeys(note for part in found for note in part.notes))[:MOST_KEPT],
        incomplete=any(part.incomplete for part in found),
    )
