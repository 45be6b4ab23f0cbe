"""Signatures as data: what a line means when a tool prints it, with examples and near misses as their tests."""

import re
import tomllib
from collections.abc import Sequence
from enum import StrEnum
from functools import cache, cached_property, lru_cache
from importlib import resources
from typing import Protocol

import hyperscan
from pydantic import Field, ValidationError, field_validator

from runbook.errors import PolicyError
from runbook.models import Frozen
from runbook.triage.classes import FailureClass
from runbook.triage.lines import Line

KNOWN_ISSUE_WEIGHT = 0.92
"""A policy's own signature was written for that very failure: it outweighs the general ones."""


class Role(StrEnum):
    """What a matching line is good for.

    ``CAUSE`` names what went wrong; ``VERDICT`` is a runner's or tool's own last word, which no output of a
    program under test can imitate by chance; ``ECHO`` repeats that something went wrong and only supports its
    class; ``MARKER`` structures the log (steps, ends, cache keys) and has no class.
    """

    CAUSE = "cause"
    VERDICT = "verdict"
    ECHO = "echo"
    MARKER = "marker"


class Signature(Frozen):
    """One thing that a tool says, and what it means.

    Args:
        id: ``tool.what``; unique in a catalogue.
        failure_class: The class that it speaks for; None for markers.
        role: What a matching line is good for.
        weight: 0 to 1, how much this line alone says that its class is what failed the job.
        pattern: A regular expression on one line's text, without time stamp, ANSI and wrappers.
        extract: A regular expression whose group 1 is worth keeping (a cache key, an exit code).
        proposal: What to do, where this line says more than its class does.
        examples: Lines that must match.
        near_misses: Lines that look alike and must not.
    """

    id: str = Field(min_length=1)
    failure_class: FailureClass | None = None
    role: Role = Role.CAUSE
    weight: float = Field(default=0.8, ge=0, le=1)
    pattern: str
    extract: str = ""
    proposal: str = ""
    examples: tuple[str, ...] = ()
    near_misses: tuple[str, ...] = ()

    @field_validator("pattern")
    @classmethod
    def _usable(cls, pattern: str) -> str:
        re.compile(pattern)
        return pattern

    @property
    def is_marker(self) -> bool:
        """Whether it structures the log rather than speaks for a class."""
        return self.role is Role.MARKER

    @property
    def begins_step(self) -> bool:
        """Whether a step begins with its line."""
        return self.id.startswith("step.begin")

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """The pattern as confirmed on one line."""
        return re.compile(self.pattern, re.MULTILINE)

    @cached_property
    def extractor(self) -> re.Pattern[str] | None:
        """The ``extract`` pattern, compiled."""
        return re.compile(self.extract) if self.extract else None

    def value_in(self, text: str) -> str:
        """Return what ``extract`` takes from a line; "" where there is nothing."""
        found = self.extractor.search(text) if self.extractor else None
        return (found[1] or "").strip() if found else ""


class Catalogue:
    """Signatures, compiled for one pass. Immutable; make another with ``with_extra``."""

    def __init__(self, signatures: tuple[Signature, ...], *, base: "Catalogue | None" = None) -> None:
        self._base = base
        self._own = signatures
        self.signatures: tuple[Signature, ...] = (*base.signatures, *signatures) if base else signatures
        seen: set[str] = set()
        for signature in self.signatures:
            if signature.id in seen:
                raise PolicyError(f"Two signatures are named {signature.id}.", next_step="Rename one.")
            seen.add(signature.id)

    @cached_property
    def databases(self) -> tuple[hyperscan.Database, ...]:
        """Hyperscan's databases of the patterns; compiling takes a moment, so it is done on first use.

        Those of a policy have one of their own: it compiles at once, and what the built-in ones find is what their
        tests found. (Which patterns share a database may change what hyperscan finds: with one odd pattern beside
        them, two examples were missed.)
        """
        inherited = self._base.databases if self._base else ()
        first = len(self.signatures) - len(self._own)
        return (*inherited, self._compiled(first))

    def _compiled(self, first: int) -> hyperscan.Database:
        database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        try:
            database.compile(
                expressions=[_prefilter(signature.pattern) for signature in self._own],
                ids=list(range(first, len(self.signatures))),
                flags=[hyperscan.HS_FLAG_PREFILTER] * len(self._own),
            )
        except hyperscan.error as error:
            raise PolicyError(
                f"The signatures cannot be compiled: {error}.",
                next_step="Simplify the pattern named last added.",
            ) from error
        return database

    def with_extra(self, signatures: tuple[Signature, ...]) -> "Catalogue":
        """Return a catalogue that also knows a policy's own signatures (known issues)."""
        return Catalogue(signatures, base=self) if signatures else self

    def confirm(self, index: int, line: Line) -> str | None:
        """Return the text that signature ``index`` matches on ``line``, or None.

        Progress bars overwrite themselves with carriage returns: each stretch between them is a line of its own.
        """
        regex = self.signatures[index].regex
        if "\r" not in line.text:
            return line.text if regex.search(line.text) or regex.search(line.bare) else None
        for text in (line.text, line.bare):
            shown = text.replace("\r", "\n")
            if found := regex.search(shown):
                begin = shown.rfind("\n", 0, found.start() + 1) + 1
                end = shown.find("\n", found.end())
                return shown[begin : end if end >= 0 else None]
        return None


_CLASS = r"\[\^?\]?(?:\\.|[^\]\\])*\]"
_TOKENS = re.compile(
    # A line's start, with what may vary there before the first fixed character.
    rf"\^(?:(?:\\[sSwWdD]|\.|{_CLASS})(?:[*+?]|\{{\d+,\d*\}})\??)*"
    rf"|\\.|{_CLASS}|\$|\{{\d+,\d*\}}\??|[^\x00-\x7f]",
    re.DOTALL,
)


def _prefilter(pattern: str) -> bytes:
    """Return what hyperscan looks for: wider than the pattern, which is then confirmed on the line alone.

    Anchors go, because in the bytes a time stamp stands before the text; counts become "any number", which scans
    several times faster. A character of several bytes becomes a group, so that a quantifier means all of them.
    """
    return _TOKENS.sub(lambda found: _widened(found[0]), pattern).encode()


def _widened(token: str) -> str:
    if token[0] in "^$" or token in (r"\A", r"\Z"):
        return "(?:)"
    if token[0] == "{":
        return "*" if token.startswith("{0,") else "+"
    if token.isascii():
        return token
    return r"(?:[\x80-\xff]+|[^\x80-\xff])" if token[0] == "[" else f"(?:{token})"


def _signature(row: dict[str, object]) -> Signature:
    # "class" is what people write; Python has that word for itself.
    return Signature.model_validate({("failure_class" if key == "class" else key): row[key] for key in row})


def parse_signatures(text: str, *, origin: str) -> tuple[Signature, ...]:
    """Read signatures from TOML (tables ``[[signature]]``).

    Raises:
        PolicyError: It is no TOML, or a signature is wrong; names ``origin``, the signature and the reason.
    """
    try:
        rows = tomllib.loads(text).get("signature", [])
    except tomllib.TOMLDecodeError as error:
        raise PolicyError(f"{origin}: {error}.", next_step="Correct the TOML.") from error
    signatures = []
    for row in rows:
        try:
            signatures.append(_signature(row))
        except (ValidationError, re.error) as error:
            raise PolicyError(
                f"{origin}: signature {row.get('id', '?')}: {error}.", next_step="Correct that signature."
            ) from error
    return tuple(signatures)


class KnownIssueLike(Protocol):
    """What a policy says of a failure met before."""

    @property
    def id(self) -> str: ...
    @property
    def failure_class(self) -> FailureClass: ...
    @property
    def pattern(self) -> str: ...
    @property
    def fix(self) -> str: ...


@cache
def builtin_catalogue() -> Catalogue:
    """Return the catalogue that the product carries."""
    folder = resources.files("runbook.triage") / "signatures"
    texts = sorted(
        (entry.name, entry.read_text("utf-8")) for entry in folder.iterdir() if entry.name.endswith(".toml")
    )
    return Catalogue(tuple(s for name, text in texts for s in parse_signatures(text, origin=name)))


def catalogue_with(known_issues: Sequence[KnownIssueLike]) -> Catalogue:
    """Return the built-in catalogue and the policy's known issues in one.

    Args:
        known_issues: The policy's; each is a cause of its class, and its fix is the proposal.

    Raises:
        PolicyError: One of them cannot be used; named with the reason.
    """
    extra = []
    for issue in known_issues:
        try:
            signature = Signature(
                id=f"policy.{issue.id}",
                failure_class=issue.failure_class,
                weight=KNOWN_ISSUE_WEIGHT,
                pattern=issue.pattern,
                proposal=issue.fix,
            )
        except (ValidationError, re.error) as error:
            raise PolicyError(
                f"known_issues: {issue.id}: {error}.", next_step="Correct its pattern."
            ) from error
        extra.append(signature)
    return _builtin_and(tuple(extra))


@lru_cache(maxsize=4)
def _builtin_and(extra: tuple[Signature, ...]) -> Catalogue:
    # Kept, for compiling takes a second, and a process that forked off another's finds it done.
    return builtin_catalogue().with_extra(extra)
