"""SARIF 2.1.0 (OASIS): the results of every run in the file, with the level that the rule or the result gives."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain

from pydantic import Field

from runbook.artifacts.findings import CodeFinding, FindingLevel, Gathered
from runbook.artifacts.skimmed import Entered, Entries, Part

_LONGEST_RULE = 250


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
    # Those of all rules are held at once.
    id: str = Field(max_length=_LONGEST_RULE)
    configuration: _Configuration = Field(default=_Configuration(), alias="defaultConfiguration")
    properties: _Properties = _Properties()


class _Component(Entered):
    name: str = ""
    rules: Part | None = None


class _Tool(Entered):
    driver: _Component = _Component()
    extensions: Part | None = None


class _Run(Entered):
    tool: _Tool = _Tool()
    results: Part | None = None


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


def gather_sarif(document: Mapping[str, Part], _name: str, entries: Entries, into: Gathered) -> None:
    """Take the findings of each run in a SARIF file.

    Args:
        document: The file's fields.
        entries: Reads its lists.
        into: Takes them.
    """
    for run in entries.of(_Run, document.get("runs")):
        rules = dict(_rules(run, entries))
        for result in entries.of(_Result, run.results):
            if result.counts:
                into.code(_finding(run.tool.driver.name, result, rules.get(result.rule_id or result.rule.id)))


def _rules(run: _Run, entries: Entries) -> Iterator[tuple[str, tuple[FindingLevel, bool]]]:
    """Yield each rule's id with its usual level, and whether it is about security."""
    # CodeQL keeps its rules in the extensions.
    for part in chain((run.tool.driver,), entries.of(_Component, run.tool.extensions)):
        for rule in entries.of(_Rule, part.rules):
            yield rule.id, (rule.configuration.level, rule.properties.security)


def _finding(tool: str, result: _Result, rule: tuple[FindingLevel, bool] | None) -> partial[CodeFinding]:
    usual, security = rule or (FindingLevel.WARNING, False)
    where = result.locations[0].physical if result.locations else _Physical()
    return partial(
        CodeFinding,
        tool=tool or "unnamed tool",
        rule=result.rule_id or result.rule.id or "unnamed rule",
        level=result.level or usual,
        message=result.message.text,
        file=where.place.uri,
        line=where.region.line,
        security=security,
    )
