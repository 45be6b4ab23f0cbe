"""Reports in JSON: SARIF, pip-audit, Trivy and npm audit; which one it is, its own fields tell."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import IO, Any

from pydantic import Field, model_validator

from runbook.artifacts.bounded import Unreadable
from runbook.artifacts.findings import (
    CodeFinding,
    FindingLevel,
    Findings,
    Gathered,
    Vulnerability,
    VulnerabilitySeverity,
)
from runbook.artifacts.sarif import gather_sarif
from runbook.artifacts.skimmed import Entered, Entries, Part

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
        Unreadable: It is no JSON.
    """
    entries = Entries(stream)
    # pip-audit before 2.0 wrote the bare list
    document = (
        {"dependencies": entries.root} if entries.is_list(entries.root) else entries.fields(entries.root)
    )
    if not document and entries.cut:
        raise Unreadable("it is no JSON")
    gathered = Gathered()
    for entries_in, marks, gather in _READERS:
        # Where the end is missing, what tells the tools apart may be missing too.
        if entries_in in document and (marks <= document.keys() or entries.cut):
            gather(document, name, entries, gathered)
            break
    return gathered.findings(f"{name}: {note}" for note in entries.notes())


# --- pip-audit (its README, "Output formats") ---


class _PipVulnerability(Entered):
    id: str
    fix_versions: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


class _PipDependency(Entered):
    name: str
    version: str = ""
    vulns: Part | None = None


def _pip_audit(document: Mapping[str, Part], name: str, entries: Entries, into: Gathered) -> None:
    for package in entries.of(_PipDependency, document["dependencies"]):
        for hole in entries.of(_PipVulnerability, package.vulns):
            into.hole(
                partial(
                    Vulnerability,
                    # The name that other databases use too, so that two scanners' findings are seen to be one.
                    id=next((alias for alias in hole.aliases if alias.startswith("CVE-")), hole.id),
                    package=package.name,
                    installed=package.version,
                    fixed=hole.fix_versions[0] if hole.fix_versions else "",
                    severity=VulnerabilitySeverity.UNKNOWN,
                    report=name,
                )
            )


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
    vulnerabilities: Part | None = Field(default=None, alias="Vulnerabilities")
    misconfigurations: Part | None = Field(default=None, alias="Misconfigurations")
    secrets: Part | None = Field(default=None, alias="Secrets")


def _trivy(document: Mapping[str, Part], name: str, entries: Entries, into: Gathered) -> None:
    for result in entries.of(_TrivyResult, document["Results"]):
        for hole in entries.of(_TrivyVulnerability, result.vulnerabilities):
            into.hole(
                partial(
                    Vulnerability,
                    id=hole.id,
                    package=hole.package,
                    installed=hole.installed,
                    fixed=hole.fixed,
                    severity=VulnerabilitySeverity.of(hole.severity),
                    report=name,
                )
            )
        for wrong in entries.of(_TrivyMisconfiguration, result.misconfigurations):
            if wrong.status == "FAIL":
                into.code(_trivy_finding(wrong.id, wrong.title, wrong.severity, result.target, None))
        for leak in entries.of(_TrivySecret, result.secrets):
            into.code(_trivy_finding(leak.rule, leak.title, leak.severity, result.target, leak.line))


def _trivy_finding(
    rule: str, title: str, severity: str, target: str, line: int | None
) -> partial[CodeFinding]:
    return partial(
        CodeFinding,
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
    elsewhere: str = ""
    url: str = ""
    title: str = ""
    severity: str = ""
    range: str = ""

    @model_validator(mode="before")
    @classmethod
    def _read_name(cls, raw: Any) -> Any:
        """A plain name says that the hole is in another entry's package."""
        return {"elsewhere": raw} if isinstance(raw, str) else raw


class _NpmPackage(Entered):
    name: str
    via: Part | None = None
    fix: _NpmFix | bool = Field(default=False, alias="fixAvailable")


def _npm(document: Mapping[str, Part], name: str, entries: Entries, into: Gathered) -> None:
    for package in entries.of(_NpmPackage, document["vulnerabilities"], openings=b"[{"):
        for one in entries.of(_NpmAdvisory, package.via):
            if one.elsewhere:
                continue
            into.hole(
                partial(
                    Vulnerability,
                    id=one.url.rstrip("/").rpartition("/")[2] or one.title or "unnamed",
                    package=package.name,
                    installed=one.range,
                    fixed=_npm_fix(package),
                    severity=VulnerabilitySeverity.of(one.severity),
                    report=name,
                )
            )


def _npm_fix(package: _NpmPackage) -> str:
    if isinstance(package.fix, bool):
        return "npm audit fix" if package.fix else ""
    same = package.fix.name == package.name
    return package.fix.version if same else f"{package.fix.name} {package.fix.version}"


_READERS: tuple[
    tuple[str, frozenset[str], Callable[[Mapping[str, Part], str, Entries, Gathered], None]], ...
] = (
    ("runs", frozenset({"version"}), gather_sarif),
    ("vulnerabilities", frozenset({"auditReportVersion"}), _npm),
    ("Results", frozenset({"SchemaVersion"}), _trivy),
    ("dependencies", frozenset(), _pip_audit),
)
"""Where each format keeps its entries, what else it always has, and its reader."""
