"""What a failed run's reports name, as tables of an incident."""

from runbook.artifacts.findings import CodeFinding, Coverage, FailedTest, Findings, Vulnerability
from runbook.report.text import Size, and_more, markdown_table, words


def findings_markdown(findings: Findings, size: Size) -> str:
    """Render what reports name: failed tests, vulnerabilities, other findings, coverage; "" where they name nothing.

    Args:
        findings: What they name.
        size: How much of it is shown.
    """
    parts = [
        _tests(findings.failed_tests, findings.tests_run, size),
        _vulnerabilities(findings.vulnerabilities, size),
        _code(findings.code_findings, size),
        _coverage(findings.coverage, size),
        f"{findings.left_out} more findings are in the reports." if findings.left_out else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _tests(tests: tuple[FailedTest, ...], run: int, size: Size) -> str:
    if not tests:
        return ""
    rows = [
        (
            words(test.identity, size),
            words(test.message, size) or "-",
            _place(test.file, test.line, size),
        )
        for test in tests[: size.rows]
    ]
    table = markdown_table(("Test", "Message", "Where"), rows, left_out=len(tests) - len(rows))
    return f"**Failed tests** ({run} are in the reports)\n\n{table}"


def _vulnerabilities(holes: tuple[Vulnerability, ...], size: Size) -> str:
    if not holes:
        return ""
    rows = [
        (
            one.severity.value,
            words(one.id, size),
            words(one.package, size),
            words(one.installed, size) or "-",
            words(one.fixed, size) or "no fix known",
        )
        for one in holes[: size.rows]
    ]
    columns = ("Severity", "Vulnerability", "Package", "Installed", "Fixed in")
    return f"**Vulnerabilities**\n\n{markdown_table(columns, rows, left_out=len(holes) - len(rows))}"


def _code(found: tuple[CodeFinding, ...], size: Size) -> str:
    if not found:
        return ""
    rows = [
        (
            one.level.value,
            f"{words(one.tool, size)}: {words(one.rule, size)}",
            words(one.message, size) or "-",
            _place(one.file, one.line, size),
        )
        for one in found[: size.rows]
    ]
    columns = ("Level", "Rule", "Message", "Where")
    return f"**Findings in the code**\n\n{markdown_table(columns, rows, left_out=len(found) - len(rows))}"


def _coverage(coverage: tuple[Coverage, ...], size: Size) -> str:
    if not coverage:
        return ""
    shown = "; ".join(
        f"{one.line_percent:.1f} % of the lines{_change(one)} ({words(one.report, size)})"
        for one in coverage[: size.rows]
    )
    return f"Coverage: {shown}{and_more(len(coverage) - size.rows)}"


def _change(one: Coverage) -> str:
    if one.before_percent is None:
        return ""
    points = round(one.line_percent - one.before_percent, 1)
    if not points:
        return ", as in the last green run"
    return f", {abs(points):.1f} points {'more' if points > 0 else 'less'} than in the last green run"


def _place(file: str, line: int | None, size: Size) -> str:
    if not file:
        return "-"
    return words(file, size) if line is None else f"{words(file, size)}:{line}"
