"""Reports in JSON: SARIF, pip-audit, Trivy and npm audit; which one it is, its own fields tell."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any

from pydantic import Field

from runbook.artifacts.bounded import Entered, Entries, read_json
from runbook.artifacts.findings import (
    CodeFinding,
    FindingLevel,
    Findings,
    Vulnerability,
    VulnerabilitySeverity,
    joined,
)
from runbook.artifacts.sarif import sarif_findings

_LEVELS = {
    VulnerabilitySeverity.CRITICAL: FindingLevel.ERROR,
    VulnerabilitySeverity.HIGH: FindingLevel.ERROR,
    VulnerabilitySeverity.MEDIUM: FindingLevel.WARNING,
}


def read(stream: IO[bytes], name: str) -> Findings:
    """Read a scanner's report; any other JSON says nothing.

    Args:
        stream: The file.
        name: What it is called in the findings.

    Raises:
        Unreadable: It is no JSON, or a hostile one.
    """
    document = read_json(stream)
    if isinstance(document, list):  # pip-audit before 2.0 wrote the bare list
        document = {"dependencies": document}
    if not isinstance(document, dict):
        return Findings()
    reader = next((known for marks, known in _READERS if marks <= document.keys()), None)
    if reader is None:
        return Findings()
    entries = Entries()
    found = tuple(reader(document, name, entries))
    notes = tuple(f"{name}: {note}" for note in entries.notes())
    return joined((*found, Findings(notes=notes)))


# --- pip-audit (its README, "Output formats") ---


class _PipVulnerability(Entered):
    id: str
    fix_versions: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


class _PipDependency(Entered):
    name: str
    version: str = ""
    vulns: object = None


def _pip_audit(document: Mapping[str, Any], name: str, entries: Entries) -> Iterator[Findings]:
    for package in entries.of(_PipDependency, document["dependencies"]):
        holes = tuple(
            Vulnerability(
                # The name that other databases use too, so that two scanners' findings are seen to be one.
                id=next((alias for alias in hole.aliases if alias.startswith("CVE-")), hole.id),
                package=package.name,
                installed=package.version,
                fixed=hole.fix_versions[0] if hole.fix_versions else "",
                report=name,
            )
            for hole in entries.of(_PipVulnerability, package.vulns)
        )
        if holes:
            yield Findings(vulnerabilities=holes)


# --- Trivy (its JSON schema version 2) ---


class _TrivyVulnerability(Entered):
    id: str = Field(alias="VulnerabilityID")
    package: str = Field(alias="PkgName")
    installed: str = Field(default="", alias="InstalledVersion")
    fixed: str = Field(default="", alias="FixedVersion")
    severity: str = Field(default="", alias="Severity")


class _TrivyMisconfiguration(Entered):
    id: str = Field(alias="ID")
    title: str = Field(default="", alias="Title")
    severity: str = Field(default="", alias="Severity")
    status: str = Field(default="FAIL", alias="Status")


class _TrivySecret(Entered):
    """A secret that was found: where and of what kind; the matched text is not read."""

    rule: str = Field(alias="RuleID")
    title: str = Field(default="", alias="Title")
    severity: str = Field(default="", alias="Severity")
    line: int | None = Field(default=None, alias="StartLine")


class _TrivyResult(Entered):
    target: str = Field(default="", alias="Target")
    vulnerabilities: object = Field(default=None, alias="Vulnerabilities")
    misconfigurations: object = Field(default=None, alias="Misconfigurations")
    secrets: object = Field(default=None, alias="Secrets")


def _trivy(document: Mapping[str, Any], name: str, entries: Entries) -> Iterator[Findings]:
    for result in entries.of(_TrivyResult, document.get("Results")):
        yield Findings(
            vulnerabilities=tuple(
                Vulnerability(
                    id=hole.id,
                    package=hole.package,
                    installed=hole.installed,
                    fixed=hole.fixed,
                    severity=VulnerabilitySeverity.of(hole.severity),
                    report=name,
                )
                for hole in entries.of(_TrivyVulnerability, result.vulnerabilities)
            ),
            code_findings=(
                *(
                    _trivy_finding(one.id, one.title, one.severity, result.target, None)
                    for one in entries.of(_TrivyMisconfiguration, result.misconfigurations)
                    if one.status == "FAIL"
                ),
                *(
                    _trivy_finding(one.rule, one.title, one.severity, result.target, one.line)
                    for one in entries.of(_TrivySecret, result.secrets)
                ),
            ),
        )


def _trivy_finding(rule: str, title: str, severity: str, target: str, line: int | None) -> CodeFinding:
    return CodeFinding(
        tool="Trivy",
        rule=rule,
        level=_LEVELS.get(VulnerabilitySeverity.of(severity), FindingLevel.NOTE),
        message=title,
        file=target,
        line=line,
        security=True,
    )


# --- npm audit (report version 2, npm 7 on) ---


class _NpmFix(Entered):
    name: str
    version: str


class _NpmAdvisory(Entered):
    url: str = ""
    title: str = ""
    severity: str = ""
    range: str = ""


class _NpmPackage(Entered):
    name: str
    via: object = None
    fix: _NpmFix | bool = Field(default=False, alias="fixAvailable")


def _npm(document: Mapping[str, Any], name: str, entries: Entries) -> Iterator[Findings]:
    packages = document["vulnerabilities"]
    for package in entries.of(
        _NpmPackage, list(packages.values()) if isinstance(packages, dict) else packages
    ):
        via = package.via if isinstance(package.via, list) else []
        # A plain name says that the hole is in another entry's package.
        advisories = entries.of(_NpmAdvisory, [one for one in via if not isinstance(one, str)])
        yield Findings(
            vulnerabilities=tuple(
                Vulnerability(
                    id=one.url.rstrip("/").rpartition("/")[2] or one.title or "unnamed",
                    package=package.name,
                    installed=one.range,
                    fixed=_npm_fix(package),
                    severity=VulnerabilitySeverity.of(one.severity),
                    report=name,
                )
                for one in advisories
            )
        )


def _npm_fix(package: _NpmPackage) -> str:
    if isinstance(package.fix, bool):
        return "npm audit fix" if package.fix else ""
    same = package.fix.name == package.name
    return package.fix.version if same else f"{package.fix.name} {package.fix.version}"


_Reader = Callable[[Mapping[str, Any], str, Entries], Iterable[Findings]]
_READERS: tuple[tuple[frozenset[str], _Reader], ...] = (
    (frozenset({"runs", "version"}), sarif_findings),
    (frozenset({"auditReportVersion", "vulnerabilities"}), _npm),
    (frozenset({"SchemaVersion"}), _trivy),
    (frozenset({"dependencies"}), _pip_audit),
)
