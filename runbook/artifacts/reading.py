"""From a spooled archive to findings: which members are opened, by whom, and what is said of the others."""

import re
from collections.abc import Callable
from typing import IO

from runbook.artifacts import reports_json, reports_xml
from runbook.artifacts.archive import Archive, ArchiveLimits
from runbook.artifacts.bounded import Unreadable
from runbook.artifacts.findings import Findings, joined

_LIKELY = re.compile(
    r"(?i)junit|test|surefire|cover|cobertura|lcov|sarif|trivy|audit|scan|vuln|report|result"
)
_XML = re.compile(r"(?i)\.xml$")
_JSON = re.compile(r"(?i)\.(?:json|sarif)$")
_LCOV = re.compile(r"(?i)(?:^|[/\\])(?:lcov[^/\\]*\.(?:info|dat)|[^/\\]*\.lcov|coverage\.info)$")
_ARCHIVE = re.compile(r"(?i)\.(?:zip|tar|tgz|gz|xz|bz2|zst|7z)$")


def read_archive(
    file: IO[bytes],
    artifact: str,
    *,
    limits: ArchiveLimits | None = None,
    in_time: Callable[[], bool] = lambda: True,
) -> Findings:
    """Read the reports in an artifact; whatever cannot be read is noted, and the others still are.

    Args:
        file: The spooled zip.
        artifact: The artifact's name.
        limits: How much of it is read.
        in_time: Asked before each report: false leaves it and the others shut.
    """
    limits = limits or ArchiveLimits()
    try:
        archive = Archive(file, limits=limits)
    except Unreadable as error:
        return Findings(notes=(f"artifact {artifact} was not read: {error.message}",))
    names = list(dict.fromkeys(name for name in archive.names if _is_report(name)))
    names.sort(key=lambda name: _LIKELY.search(name) is None)  # stable: the archive's order otherwise
    parts: list[Findings] = []
    for name in names[: limits.members]:
        if not in_time():
            break
        parts.append(_read_member(archive, name, f"{artifact}/{name}"))
    return joined((*parts, Findings(notes=_left_shut(archive, artifact, len(names) - len(parts)))))


def read_report(stream: IO[bytes], name: str) -> Findings:
    """Read one report, by its name's ending and then by what it holds.

    Args:
        stream: The file.
        name: What it is called in the findings.

    Raises:
        Unreadable: It cannot be read.
    """
    if _LCOV.search(name):
        return reports_xml.read_lcov(stream, name)
    return reports_xml.read(stream, name) if _XML.search(name) else reports_json.read(stream, name)


def _is_report(name: str) -> bool:
    return any(pattern.search(name) for pattern in (_XML, _JSON, _LCOV))


def _read_member(archive: Archive, name: str, shown: str) -> Findings:
    try:
        with archive.member(name) as stream:
            return read_report(stream, shown)
    except Unreadable as error:
        return Findings(notes=(f"{shown} was not read: {error.message}",))


def _left_shut(archive: Archive, artifact: str, too_many: int) -> tuple[str, ...]:
    notes = []
    if too_many > 0:
        notes.append(f"artifact {artifact}: {too_many} more reports in it were not read")
    nested = sum(_ARCHIVE.search(name) is not None for name in archive.names)
    if nested:
        notes.append(f"artifact {artifact}: {nested} archives inside it were not opened")
    return tuple(notes)
