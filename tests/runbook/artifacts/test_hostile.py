"""Reports and archives made to break or exhaust their reader: bounded, said, never fatal."""

import io
import json
import struct
import tracemalloc
import zipfile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.artifacts import archive as archives
from runbook.artifacts import skimmed
from runbook.artifacts.archive import ArchiveLimits
from runbook.artifacts.bounded import Unreadable
from runbook.artifacts.findings import MOST_KEPT
from runbook.artifacts.reading import read_archive
from tests.runbook.artifacts.build import (
    JUNIT,
    NPM_AUDIT,
    PIP_AUDIT,
    SARIF,
    TRIVY,
    archive,
    artifact,
    encoded,
    report,
    sarif_result,
)

BOMB = (
    '<!DOCTYPE t [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<testsuites>&b;</testsuites>"
)
EXTERNAL = '<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuites>&x;</testsuites>'
PARAMETER = '<!DOCTYPE t [<!ENTITY % x SYSTEM "http://127.0.0.1/x">%x;]><testsuites/>'
DEFAULTS = '<!DOCTYPE t [<!ATTLIST testcase a1 CDATA "x">]><testsuites><testcase/></testsuites>'
FAILED = '<testcase name="t{}"><failure message="m"/></testcase>'


@pytest.mark.parametrize("content", [BOMB, EXTERNAL, PARAMETER, DEFAULTS])
def test_a_report_that_declares_entities_is_refused(content: str) -> None:
    with pytest.raises(Unreadable, match="entities"):
        report(content, "junit.xml")


@pytest.mark.parametrize("end", ["<testcase", "</wrong>", "\x00", "&nothing;"])
def test_a_broken_report_is_read_up_to_where_it_breaks(end: str) -> None:
    found = report(f"<testsuites><testsuite>{FAILED.format(1)}{end}", "junit.xml")
    assert [one.name for one in found.failed_tests] == ["t1"]
    assert "broken" in found.notes[0]


def test_a_deep_report_is_read_up_to_its_allowed_depth() -> None:
    found = report(f"<testsuites>{'<testsuite>' * 100_000}", "junit.xml")
    assert "nested" in found.notes[0]


@pytest.mark.parametrize("begin", ["", f"<testsuites><testsuite>{FAILED.format(1)}"])
def test_a_tag_of_many_megabytes_is_not_waited_for(begin: str) -> None:
    attributes = " ".join(f'a{number}="x"' for number in range(1_000_000))
    found = artifact({"junit.xml": f"{begin}<testsuite {attributes}/>"})
    assert len(found.failed_tests) == bool(begin)
    assert "one tag in it is larger than 1 MiB" in found.notes[0]


@pytest.mark.parametrize("name", ["testcase a{}=''", "a{}", "p{}:testcase", "testcase xmlns:a{}=''"])
def test_names_that_never_come_again_are_not_collected(name: str) -> None:
    many = "".join(f"<{name.format(number)}/>" for number in range(6_000))
    found = report(f"<testsuites>{FAILED.format(1)}{many}</testsuites>", "junit.xml")
    assert len(found.failed_tests) == 1
    assert "more than 5,000 different names" in found.notes[0]


def test_a_test_case_that_is_cut_off_is_failed_by_what_is_there_of_it() -> None:
    found = report('<testsuite name="s"><testcase name="t"><failure message="m"/><system-out>', "junit.xml")
    assert [(one.identity, one.message) for one in found.failed_tests] == [("s::t", "m")]


def test_a_failure_after_very_many_properties_is_a_failure() -> None:
    case = f"<testcase name='t'>{'<properties/>' * 1_000}<failure message='m'/></testcase>"
    assert len(report(f"<testsuite>{case}</testsuite>", "junit.xml").failed_tests) == 1


def test_reports_that_take_too_long_are_left_shut() -> None:
    answers = iter([True, False])
    files = archive({"junit-1.xml": JUNIT, "junit-2.xml": JUNIT, "junit-3.xml": JUNIT})
    found = read_archive(files, "reports", in_time=lambda: next(answers))
    assert {test.report for test in found.failed_tests} == {"reports/junit-1.xml"}
    assert found.notes == ("artifact reports: 2 more reports in it were not read",)


@pytest.mark.parametrize("many", [1_000, 5_000])
def test_more_failures_than_are_kept_are_counted(many: int) -> None:
    kept = artifact({"junit.xml": f"<testsuite>{''.join(map(FAILED.format, range(many)))}</testsuite>"})
    assert (len(kept.failed_tests), kept.left_out, kept.tests_run) == (MOST_KEPT, many - MOST_KEPT, many)


def test_of_half_a_million_tests_the_first_are_read() -> None:
    found = report(f"<testsuite>{'<testcase/>' * 500_000}</testsuite>", "junit.xml")
    assert "only its first 300,000 elements" in found.notes[0]


def test_of_many_entries_the_first_are_read() -> None:
    found = report({"dependencies": [{"name": "a"}] * 30_000}, "audit.json")
    assert found.notes == ("audit.json: only the first 20,000 of its entries were read",)


def test_the_entries_of_all_lists_of_a_report_are_counted_together() -> None:
    runs = [{"results": [sarif_result(f"{run} {number}") for number in range(15_000)]} for run in range(2)]
    found = report({"version": "2.1.0", "runs": runs}, "scan.sarif")
    assert len(found.code_findings) + found.left_out == 20_000 - len(runs)
    assert found.notes == ("scan.sarif: only the first 20,000 of its entries were read",)


@pytest.mark.parametrize("end", ["", ",", ', "more"', "]", "]}", ', {"id": "y", "fix_versions": ["1"'])
def test_a_broken_scan_is_read_up_to_where_it_breaks_and_no_entry_by_halves(end: str) -> None:
    found = report('{"dependencies": [{"name": "a", "vulns": [{"id": "x"}' + end, "audit.json")
    assert [one.id for one in found.vulnerabilities] == ["x"]
    assert "audit.json: it is broken, and was read up to there" in found.notes


@pytest.mark.parametrize("most_bytes", [200, 1_000, 5_000])
def test_of_a_scan_that_is_too_large_the_beginning_is_read(
    monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    content = {"runs": [{"results": [sarif_result(f"R{n}") for n in range(100)]}], "version": "2.1.0"}
    whole = report(content, "scan.sarif").code_findings
    monkeypatch.setattr(skimmed, "MOST_JSON_BYTES", most_bytes)
    monkeypatch.setattr(skimmed, "_CHUNK_BYTES", 50)
    found = report(content, "scan.sarif")
    fit = encoded(content)[:most_bytes].count(b"startLine") - 1
    assert found.code_findings == whole[: len(found.code_findings)]
    assert fit <= len(found.code_findings) <= fit + 1
    assert found.notes == ("scan.sarif: only its first 0 MiB were read",)


def test_of_a_key_that_comes_twice_the_last_value_is_read() -> None:
    lists = (json.dumps([{"name": "a", "vulns": [{"id": one}]}]) for one in "xy")
    found = report("{" + ",".join(f'"dependencies": {one}' for one in lists) + "}", "audit.json")
    assert [one.id for one in found.vulnerabilities] == ["y"]


def test_a_large_entry_is_read_without_what_nobody_asks_for() -> None:
    flows = sarif_result("R1", codeFlows=["x" * 1_000] * 1_000)
    too_large = sarif_result("R2", message={"text": "x" * 100_000})
    found = report({"version": "2.1.0", "runs": [{"results": [flows, too_large]}]}, "scan.sarif")
    assert [one.rule for one in found.code_findings] == ["R1"]
    assert found.notes == ("scan.sarif: 1 of its entries are larger than 64 KiB, and were left out",)


@pytest.mark.parametrize(
    "content",
    [
        '{"dependencies": [{"name": "a", "version": NaN}]}',
        '{"dependencies": Infinity}',
        "[" * 200_000,
        '{"a":' * 200_000,
        "{}," * 10,
        b"\xff\xfe\x00",
        "",
        "[" + "0," * 1_000_001 + "0]",
        "1" * 10_000_000,
        b"[" + b" " * (16 * 1024**2) + b"]",
    ],
    ids=[
        "NaN",
        "Infinity",
        "deep",
        "deep objects",
        "trailing",
        "bytes",
        "empty",
        "entries",
        "digits",
        "large",
    ],
)
def test_hostile_json_is_refused_or_says_nothing(content: Any) -> None:
    found = artifact({"audit.json": content})
    assert found.empty
    assert len(found.notes) <= 1


@pytest.mark.parametrize("odd", [None, 3, "text", [], [None, 3, "x", [], {}], {"a": 1}])
@pytest.mark.parametrize(
    ("whole", "field"),
    [(PIP_AUDIT, "dependencies"), (TRIVY, "Results"), (NPM_AUDIT, "vulnerabilities"), (SARIF, "runs")],
)
def test_fields_of_other_types_are_left_out_and_said(whole: dict[str, Any], field: str, odd: Any) -> None:
    found = artifact({"audit.json": {**whole, field: odd}})
    assert found.empty
    assert bool(found.notes) == (odd not in (None, []))


def test_one_odd_entry_leaves_the_others() -> None:
    content = {"dependencies": [{"name": 7}, *PIP_AUDIT["dependencies"]]}
    found = artifact({"audit.json": content})
    assert len(found.vulnerabilities) == 1
    assert found.notes == (
        "reports/audit.json: 1 of its entries are not as the format says, and were left out",
    )


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "runs",
                    "version",
                    "results",
                    "tool",
                    "driver",
                    "rules",
                    "id",
                    "level",
                    "message",
                    "Results",
                    "SchemaVersion",
                    "Vulnerabilities",
                    "dependencies",
                    "vulns",
                    "name",
                    "via",
                    "fixAvailable",
                    "vulnerabilities",
                    "auditReportVersion",
                    "locations",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(content=_JSON)
@settings(max_examples=200, deadline=None)
def test_no_json_is_fatal(content: Any) -> None:
    artifact({"scan.sarif": json.dumps(content)})


@given(content=_JSON, at=st.integers(0, 60))
@settings(max_examples=200, deadline=None)
def test_what_is_found_in_the_text_is_what_a_decoder_finds(content: Any, at: int) -> None:
    document = {"before": content, "after": [content, at]}
    text = json.dumps(document, indent=at % 3 or None)
    entries = skimmed.Entries(io.BytesIO(text.encode()))
    parts = entries.fields(entries.root)
    assert {name: json.loads(text[part.start : part.end]) for name, part in parts.items()} == json.loads(text)
    assert entries.cut == ""
    half = skimmed.Entries(io.BytesIO(text[:at].encode() or b"{"))
    for name, part in half.fields(half.root).items():
        if part.whole:
            assert part == parts[name]


@given(content=st.binary(max_size=200), at=st.integers(0, 400))
@settings(max_examples=200, deadline=None)
def test_no_archive_is_fatal(content: bytes, at: int) -> None:
    whole = archive({"junit.xml": JUNIT}).getvalue()
    read_archive(io.BytesIO(whole[:at] + content + whole[at + len(content) :]), "reports")
    read_archive(io.BytesIO(content), "reports")


# --- archives ---


def test_a_bomb_is_left_shut_and_the_others_are_read() -> None:
    found = artifact({"bomb.xml": b" " * (30 * 1024**2), "junit.xml": JUNIT})
    assert len(found.failed_tests) == 2
    assert found.notes == (
        "reports/bomb.xml was not read: it claims to unpack to more than 200 times its size",
    )


def test_a_size_that_lies_is_found_out_while_unpacking() -> None:
    packed = bytearray(archive({"junit.xml": b" " * (3 * 1024**2)}).getvalue())
    where = packed.rfind(b"PK\x01\x02")
    struct.pack_into("<L", packed, where + 24, 10)
    found = read_archive(io.BytesIO(bytes(packed)), "reports")
    assert found.empty
    assert len(found.notes) == 1


def test_all_members_together_unpack_to_no_more_than_the_limit() -> None:
    limits = ArchiveLimits(total_bytes=3 * 1024**2)
    files = {
        f"junit-{n}.xml": f"<testsuite>{FAILED.format(n)}<!--{'x' * 1_000_000}--></testsuite>"
        for n in range(5)
    }
    found = read_archive(archive(files), "reports", limits=limits)
    assert 0 < len(found.failed_tests) < 5
    assert any("the archive unpacks to more than 3 MiB" in note for note in found.notes)


def test_a_list_of_very_many_members_is_not_even_loaded() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as many:
        for number in range(30_000):
            many.writestr(zipfile.ZipInfo(f"{number}.xml"), b"")
    tracemalloc.start()
    found = read_archive(packed, "reports")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.notes == ("artifact reports was not read: it lists more files than are looked at",)
    assert peak < 2 * 1024**2


def test_more_reports_than_are_opened_are_said_and_likely_names_come_first() -> None:
    files = {f"{n}.xml": "<a/>" for n in range(60)} | {"out/junit.xml": JUNIT}
    found = artifact(files)
    assert len(found.failed_tests) == 2
    assert found.notes == ("artifact reports: 21 more reports in it were not read",)


def test_nothing_is_written_whatever_a_member_is_called(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = artifact({"../../junit.xml": JUNIT, "/etc/junit.xml": JUNIT})
    assert len(found.failed_tests) == 2
    assert list(tmp_path.iterdir()) == []


def test_archives_inside_are_not_opened() -> None:
    inner = archive({"junit.xml": JUNIT}).getvalue()
    found = artifact({"inner.zip": inner})
    assert found.empty
    assert found.notes == ("artifact reports: 1 archives inside it were not opened",)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unusual_packing_is_not_unpacked(method: int) -> None:
    found = read_archive(archive({"junit.xml": JUNIT}, method=method), "reports")
    assert "another method" in found.notes[0]


def test_an_encrypted_member_is_said() -> None:
    packed = bytearray(archive({"junit.xml": JUNIT}).getvalue())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.find(signature) + offset] |= 1
    assert "encrypted" in read_archive(io.BytesIO(bytes(packed)), "reports").notes[0]


def test_a_download_is_spooled_and_gone_afterwards() -> None:
    with archives.spooled([encoded("a"), encoded("b")]) as file:
        assert file.read() == b"ab"
    assert file.closed
