"""SARIF 2.1.0 (OASIS): the results of every run in the file, with the level that the rule or the result gives."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from runbook.artifacts.bounded import Entered, Entries
from runbook.artifacts.findings import CodeFinding, FindingLevel, Findings


class _Text(Entered):
    text: str = ""


class _Properties(Entered):
    # The score and the tag by which GitHub tells security results from others ("SARIF support for code scanning").
    security_severity: object = Field(default=None, alias="security-severity")
    tags: tuple[str, ...] = ()

    @property
    def security(self) -> bool:
        return self.security_severity is not None or "security" in self.tags


class _Configuration(Entered):
    level: FindingLevel = FindingLevel.WARNING


class _Rule(Entered):
    id: str
    configuration: _Configuration = Field(default=_Configuration(), alias="defaultConfiguration")
    properties: _Properties = _Properties()


class _Component(Entered):
    name: str = ""
    rules: object = None


class _Tool(Entered):
    driver: _Component = _Component()
    extensions: object = None


class _Run(Entered):
    tool: _Tool = _Tool()
    results: object = None


class _Place(Entered):
    uri: str = ""


class _Region(Entered):
    line: int | None = Field(default=None, alias="startLine")


class _Physical(Entered):
    place: _Place = Field(default=_Place(), alias="artifactLocation")
    region: _Region = _Region()


class _Location(Entered):
    physical: _Physical = Field(default=_Physical(), alias="physicalLocation")


class _RuleReference(Entered):
    id: str = ""


class _Result(Entered):
    rule_id: str = Field(default="", alias="ruleId")
    rule: _RuleReference = _RuleReference()
    level: FindingLevel | None = None
    kind: str = "fail"
    message: _Text = _Text()
    locations: tuple[_Location, ...] = ()
    suppressions: tuple[object, ...] | None = None
    baseline: str = Field(default="new", alias="baselineState")

    @property
    def counts(self) -> bool:
        """Whether it is a failure that nobody has accepted and that is still there (3.27.9, 3.27.23, 3.27.24)."""
        return self.kind == "fail" and not self.suppressions and self.baseline not in ("absent", "unchanged")


def sarif_findings(document: Mapping[str, Any], _name: str, entries: Entries) -> Iterator[Findings]:
    """Yield the findings of each run in a SARIF file.

    Args:
        document: The decoded file.
        entries: Counts what is not as the format says.
    """
    for run in entries.of(_Run, document["runs"]):
        rules = {rule.id: rule for rule in _rules(run, entries)}
        yield Findings(
            code_findings=tuple(
                _finding(run.tool.driver.name, result, rules.get(result.rule_id or result.rule.id))
                for result in entries.of(_Result, run.results)
                if result.counts
            )
        )


def _rules(run: _Run, entries: Entries) -> Iterator[_Rule]:
    yield from entries.of(_Rule, run.tool.driver.rules)
    for extension in entries.of(_Component, run.tool.extensions):  # CodeQL keeps its rules in these
        yield from entries.of(_Rule, extension.rules)


def _finding(tool: str, result: _Result, rule: _Rule | None) -> CodeFinding:
    usual = rule.configuration.level if rule else FindingLevel.WARNING
    where = result.locations[0].physical if result.locations else _Physical()
    return CodeFinding(
        tool=tool or "unnamed tool",
        rule=result.rule_id or result.rule.id or "unnamed rule",
        level=result.level or usual,
        message=result.message.text,
        file=where.place.uri,
        line=where.region.line,
        security=rule is not None and rule.properties.security,
    )
