"""The reference of every key, made from the models.

``python -m runbook.policy.reference > docs/policy.md`` writes it.
"""

import sys
from collections.abc import Iterator
from types import NoneType
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from runbook.policy.base import Section
from runbook.policy.loading import sections_in
from runbook.policy.model import Policy
from runbook.policy.procedures import LOW_RISK

_TITLE = """\
# The policy, key by key

Made by `python -m runbook.policy.reference` from the models that read the file; a test fails when the two
differ. `runbook.toml` is an example with comments. The file is looked for where `--policy` says, else where
`RUNBOOK_POLICY` says, else in the working directory.

- Units are in the names: `_seconds`, `_minutes`, `_hours`, `_days`, `_months`, `_percent`, `_bytes`.
- A key that is not listed here is an error, and so is a value of another type: `"15"` is not `15`.
- Contradictions are errors too: a quorum that the approvers cannot reach, an approver who is the product's
  own account, an alert that sounds while its target is met, escalation that does not ascend, a name
  that stands for nothing.
- `[[name]]` may be repeated; `<name>` is a name of your choice.
- Only these procedures may be approved by an unnamed resume in Prefect, and only if an override says so:
  {low_risk}.
"""


def sections(section: type[Section] = Policy, *, above: str = "") -> Iterator[tuple[str, type[Section]]]:
    """Yield every table of the file below ``section``, as its TOML heading and its model, in order."""
    for name, field in section.model_fields.items():
        inner = next(sections_in(field.annotation), None)
        if inner is None:
            continue
        path = f"{above}{name}"
        origin = get_origin(field.annotation)
        if origin is dict:
            key = get_args(field.annotation)[0]
            path += ".<class>" if hasattr(key, "__members__") else ".<name>"
        yield f"[[{path}]]" if origin is tuple else f"[{path}]", inner
        yield from sections(inner, above=f"{path}.")


def render() -> str:
    """Return the reference as Markdown."""
    parts = [_TITLE.format(low_risk=", ".join(f"`{name}`" for name in sorted(LOW_RISK)))]
    tables: list[tuple[str, type[Section]]] = [("At the top of the file", Policy)]
    tables += [(f"`{path}`", section) for path, section in sections()]
    for heading, section in tables:
        lines = [f"## {heading}", "", _summary(section), ""]
        own = [
            _row(name, field)
            for name, field in section.model_fields.items()
            if next(sections_in(field.annotation), None) is None
        ]
        if own:
            lines += ["| key | type | default | meaning |", "|---|---|---|---|", *own]
        parts.append("\n".join(lines).rstrip() + "\n")
    return "\n".join(parts)


def _summary(section: type[Section]) -> str:
    return (section.__doc__ or "").split("\n\n")[0].replace("\n    ", " ")


def _row(name: str, field: FieldInfo) -> str:
    if field.default is not PydanticUndefined:
        default = "none" if field.default in (None, (), {}) else f"`{_toml(field.default)}`"
    else:
        default = "its own name" if field.default_factory is not None else "**required**"
    cells = (f"`{name}`", _type(field.annotation), default, field.description or "")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _type(annotation: Any) -> str:
    options = [kind for kind in get_args(annotation) if kind is not NoneType]
    if get_origin(annotation) is tuple:
        return f"list of {_type(options[0])}"
    if get_origin(annotation) is dict:
        return "table"
    if NoneType in get_args(annotation):
        return _type(options[0])
    if hasattr(annotation, "__metadata__"):
        return _type(options[0])
    if hasattr(annotation, "__members__"):
        return "one of " + ", ".join(f"`{member}`" for member in annotation)
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(
        annotation, "date and time"
    )


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:.16g}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"'


if __name__ == "__main__":
    sys.stdout.write(render())
