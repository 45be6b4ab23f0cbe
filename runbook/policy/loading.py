"""From a file to a policy, or to an error that says file, key, what is wrong and what was meant."""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from runbook.errors import PolicyError
from runbook.policy.base import Section
from runbook.policy.checks import Problem, contradictions
from runbook.policy.model import Policy

DEFAULT_FILE = "runbook.toml"
ENVIRONMENT_VARIABLE = "RUNBOOK_POLICY"


def find_policy() -> Path:
    """Return the policy file in force: RUNBOOK_POLICY (which ``--policy`` sets), else ./runbook.toml.

    Raises:
        PolicyError: There is no such file.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        path, source = Path(named), f"--policy or {ENVIRONMENT_VARIABLE}"
    else:
        path, source = Path(DEFAULT_FILE), "the current directory"
    if path.is_file():
        return path
    raise PolicyError(
        f"There is no policy file {path} (looked for because of {source}).",
        unchanged="Nothing was read or changed.",
        next_step=f"name one with --policy or {ENVIRONMENT_VARIABLE}, or adapt the example {DEFAULT_FILE}.",
    )


def load_policy(path: Path) -> Policy:
    """Read and check a policy file.

    Raises:
        PolicyError: It cannot be read, is not TOML, has a key or value that does not belong, or contradicts
            itself; the text names file, key and reason for everything that was found.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _refusal(path, [Problem("", f"cannot be read: {error.strerror or error}")]) from error
    except UnicodeDecodeError as error:
        raise _refusal(path, [Problem("", f"is not UTF-8 text (byte {error.start})")]) from error
    except tomllib.TOMLDecodeError as error:
        raise _refusal(path, [Problem("", f"is not valid TOML: {error}")]) from error
    return parse_policy(document, source=path)


def parse_policy(document: Mapping[str, Any], *, source: Path = Path(DEFAULT_FILE)) -> Policy:
    """Build a policy from a parsed TOML document; the one door, so that none skips the contradictions.

    Args:
        document: What ``tomllib`` returned.
        source: The file to name in an error.

    Raises:
        PolicyError: As ``load_policy``.
    """
    # JSON mode is strict about types ("15" is no number) and still takes a string for an enum or a date.
    text = json.dumps(document, default=str)
    try:
        policy = Policy.model_validate_json(text, strict=True)
    except ValidationError as error:
        # Not chained: the original carries the values, and somebody may have put a secret among them.
        raise _refusal(source, _problems(error.errors(include_url=False))) from None
    problems = contradictions(policy)
    if problems:
        raise _refusal(source, problems)
    return policy


def _refusal(path: Path, problems: list[Problem]) -> PolicyError:
    lines = [f"{key}: {reason}" if key else reason for key, reason in problems]
    if len(lines) == 1:
        message = f"{path}: {lines[0]}" + ("" if lines[0].endswith("?") else ".")
    else:
        message = "\n  ".join([f"{path}:", *lines]) + "\n"
    return PolicyError(
        message,
        unchanged="Nothing was started.",
        next_step="correct the file; docs/policy.md lists every key.",
    )


def _problems(details: list[ErrorDetails]) -> list[Problem]:
    """Word pydantic's errors, leaving out those that only follow from a deeper one in the same table."""
    return [
        _problem(entry)
        for entry in details
        if entry["type"] != "default_factory_not_called"
        and not any(
            len(other["loc"]) > len(entry["loc"]) and other["loc"][: len(entry["loc"])] == entry["loc"]
            for other in details
        )
    ]


def _problem(detail: ErrorDetails) -> Problem:
    """Word one error for the author of the file, without repeating the value."""
    location, kind = detail["loc"], detail["type"]
    if location[-1] == "[key]":  # a name that a table of free names does not take
        location = location[:-1]
    reason = detail["msg"][:1].lower() + detail["msg"][1:]
    if kind == "extra_forbidden":
        reason = "unknown key" + _did_you_mean(
            str(location[-1]), list(_section_at(location[:-1]).model_fields)
        )
    elif kind == "missing":
        reason = f"is missing. {_description_at(location)}"
    elif kind == "string_pattern_mismatch":
        reason = f"does not look like what belongs here. {_description_at(location)}"
    elif kind == "enum":
        names = re.findall(r"'([^']+)'", detail["ctx"]["expected"])
        reason = "unknown name" + _did_you_mean(str(detail["input"]), names)
    return Problem(_dotted(location), reason.rstrip("."))


def _dotted(location: tuple[int | str, ...]) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path.removeprefix(".")


def _did_you_mean(wrong: str, known: list[str]) -> str:
    close = get_close_matches(wrong, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known here: {', '.join(known)}"


def _section_at(location: tuple[int | str, ...]) -> type[Section]:
    """Return the section that the table at ``location`` is read as."""
    section: type[Section] = Policy
    inside_collection = False
    for part in location:
        if inside_collection:  # a position in a list, or a free name
            inside_collection = False
            continue
        annotation = section.model_fields[str(part)].annotation
        section = next(sections_in(annotation), section)
        inside_collection = get_origin(annotation) in (dict, tuple)
    return section


def _description_at(location: tuple[int | str, ...]) -> str:
    *above, last = location
    while isinstance(last, int):
        *above, last = above
    field = _section_at(tuple(above)).model_fields.get(str(last))
    return (field and field.description) or ""


def sections_in(annotation: object) -> Iterator[type[Section]]:
    """Yield the sections mentioned anywhere in a field's annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from sections_in(inner)
