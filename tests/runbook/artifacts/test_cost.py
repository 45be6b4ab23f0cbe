"""What the largest reports that are read cost, whatever is in them; and that ordinary large ones are read whole."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runbook.artifacts.archive import ArchiveLimits
from runbook.artifacts.bounded import MOST_XML_BYTES
from runbook.artifacts.skimmed import MOST_JSON_BYTES
from tests.runbook.artifacts.build import sarif_result
from tests.runbook.artifacts.cost import Cost, cost_of

MOST_MIB = 72.0
MOST_SECONDS = 6.0
"""Meant are 64 MiB and two seconds; a shared machine may take thrice the time."""

WIDE = "a" * 399 + "\N{GRINNING FACE}"
"""One such character, and the whole text takes four times the memory."""


def filled(begin: str, unit: str | Callable[[int], str], end: str, most_bytes: int) -> str:
    """Return a text of nearly so many bytes, repeating the unit (of a number)."""
    make = unit if callable(unit) else lambda _number: unit
    size = len(make(10_000_000).encode())
    return begin + "".join(map(make, range((most_bytes - 2_000) // size))) + end


def _cost(file: Path, content: str) -> Cost:
    file.write_text(content)
    try:
        return cost_of(file)
    finally:
        file.unlink()  # tens of megabytes, which pytest would keep


def _json(begin: str, unit: str | Callable[[int], str], end: str) -> str:
    return filled(begin, unit, end, MOST_JSON_BYTES)


def _xml(begin: str, unit: str | Callable[[int], str], end: str) -> str:
    return filled(begin, unit, end, MOST_XML_BYTES)


RUN = '{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t"}},"results":['
RULES = '{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"t","rules":['
TRIVY = '{"SchemaVersion":2,"Results":['
PIP = '{"dependencies":['

JSON: dict[str, tuple[str, str | Callable[[int], str], str]] = {
    "sarif, tiny runs with lists": ('{"version":"2.1.0","runs":[', '{"results":[{},{}]},', "{}]}"),
    "sarif, a list in each entry": (RUN, '{"locations":[' + "{}," * 20 + "{}]},", "{}]}]}"),
    "sarif, the innermost part": (
        '{"version":"2.1.0","runs":[{"tool":{"extensions":[{"rules":[{"properties":{"tags":[',
        "[],",
        "[]]}}]}]}}]}",
    ),
    "sarif, long rules": (RULES, lambda n: f'{{"id":"{n:08d}{WIDE[-220:]}"}},', "{}]}}}]}"),
    "sarif, long texts": (
        RUN,
        lambda n: f'{{"ruleId":"{n:08d}","message":{{"text":"{WIDE * 2}"}}}},',
        "{}]}]}",
    ),
    "sarif, one huge message": (RUN + '{"message":{"text":"\U0001f600', "a", '"}}]}]}'),
    "sarif, a huge result": (RUN + '{"locations":[', "{},", "{}]}]}]}"),
    "sarif, escapes without end": (RUN + '{"ruleId":"', '\\"', ""),
    "many keys": ('{"version":"2.1.0","runs":[],', lambda n: f'"{n}":{{}},', '"x":0}'),
    "wrong types": (RUN, '0,[],"",null,1e9,true,', "{}]}]}"),
    "trivy, leaks": (
        TRIVY + '{"Target":"' + WIDE * 10 + '","Secrets":[',
        lambda n: f'{{"RuleID":"{n:08d}"}},',
        "{}]}]}",
    ),
    "pip-audit, holes": (
        PIP + f'{{"name":"{WIDE * 10}","vulns":[',
        lambda n: f'{{"id":"{n:08d}","fix_versions":["{WIDE}"]}},',
        "{}]}]}",
    ),
    "npm audit": (
        '{"auditReportVersion":2,"vulnerabilities":{',
        lambda n: f'"{n:08d}":{{"name":"{n:08d}","via":["",{{"url":"{n:08d}"}}]}},',
        '"x":{}}}',
    ),
    "coverage": ('{"files":{', lambda n: f'"{n:08d}":{{"executed_lines":[1,2,3]}},', '"x":{}}}'),
}


@pytest.mark.parametrize("shape", JSON)
def test_a_hostile_json_report_costs_little(shape: str, tmp_path: Path) -> None:
    cost = _cost(tmp_path / "scan.sarif", _json(*JSON[shape]))
    assert (cost.mib < MOST_MIB, cost.seconds < MOST_SECONDS) == (True, True), cost


FAIL = '<failure message="m"/></testcase>'

XML: dict[str, tuple[str, str | Callable[[int], str], str]] = {
    "tiny failed tests": ("<testsuite>", "<testcase><error/></testcase>", "</testsuite>"),
    "failed tests": ("<testsuite>", lambda n: f'<testcase name="{n:08d}">{FAIL}', "</testsuite>"),
    "long failed tests": (
        f'<testsuite name="{WIDE * 20}" file="{WIDE * 20}">',
        lambda n: f'<testcase name="{n:08d}{WIDE * 5}"><failure message="{WIDE * 5}"/></testcase>',
        "</testsuite>",
    ),
    "one huge test": (
        "<testsuite><testcase>",
        f'<failure a="{WIDE}" message="{WIDE}"/>',
        "</testcase></testsuite>",
    ),
    "large tags": (
        "<testsuite>",
        "<testcase " + " ".join(f'a{n}=""' for n in range(90_000)) + "/>",
        "</testsuite>",
    ),
    "many prefixes": ("<testsuite>", lambda n: f'<testcase xmlns:a{n:08d}="b"/>', "</testsuite>"),
    "lines": ("<testsuite><testcase><failure>", "\r", FAIL + "</testsuite>"),
}


@pytest.mark.parametrize("shape", XML)
def test_a_hostile_xml_report_costs_little(shape: str, tmp_path: Path) -> None:
    cost = _cost(tmp_path / "junit.xml", _xml(*XML[shape]))
    assert (cost.mib < MOST_MIB, cost.seconds < MOST_SECONDS) == (True, True), cost


def test_a_hostile_tracefile_costs_little(tmp_path: Path) -> None:
    cost = _cost(tmp_path / "lcov.info", "\n" * ArchiveLimits().member_bytes)
    assert (cost.mib < MOST_MIB, cost.seconds < MOST_SECONDS) == (True, True), cost
    assert cost.notes == ("it has more than 2,000,000 lines",)


def test_forty_thousand_tests_are_read_whole(tmp_path: Path) -> None:
    cases = "".join(
        f'<testcase classname="c" name="t{number}" time="0.1"><properties><property name="a" value="b"/></properties>'
        f"<system-out>said {number}</system-out></testcase>"
        for number in range(40_000)
    )
    cost = _cost(tmp_path / "junit.xml", f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert (cost.found, cost.notes) == (40_000, ())
    assert cost.mib < MOST_MIB


def _trivy_hole(number: int) -> dict[str, Any]:
    """Return a vulnerability as wordy as Trivy's: three kilobytes, eighty values."""
    return {
        "VulnerabilityID": f"CVE-2024-{number}",
        "PkgIdentifier": {"PURL": f"pkg:deb/debian/p{number}@1.0", "UID": "0123456789abcdef"},
        "PkgName": f"p{number}",
        "InstalledVersion": "1.0",
        "Severity": "HIGH",
        "Description": 'In the function, a length is \u201cnot checked\u201d, so \\ that "it" overflows. '
        * 16,
        "VendorSeverity": dict.fromkeys(("nvd", "redhat", "ubuntu", "debian", "alma", "ghsa"), 3),
        "CVSS": {v: {"V3Vector": "CVSS:3.1/AV:N/AC:L", "V3Score": 9.8} for v in ("nvd", "redhat", "ghsa")},
        "References": [f"https://example.org/advisories/{number}/{n}" for n in range(25)],
    }


def test_five_thousand_wordy_entries_are_read_whole(tmp_path: Path) -> None:
    holes = [_trivy_hole(number) for number in range(5_000)]
    document = {"SchemaVersion": 2, "Results": [{"Target": "t", "Vulnerabilities": holes}]}
    cost = _cost(tmp_path / "trivy.json", json.dumps(document, indent=1))
    assert (cost.found, cost.notes) == (5_000, ())
    assert cost.mib < MOST_MIB


def test_ten_thousand_results_are_read_whole(tmp_path: Path) -> None:
    results = [sarif_result(f"R{number}") for number in range(10_000)]
    document = {"version": "2.1.0", "runs": [{"results": results}]}
    cost = _cost(tmp_path / "scan.sarif", json.dumps(document))
    assert (cost.found, cost.notes) == (10_000, ())
