"""Label selectors, as ``labelSelector`` takes them."""

import re

from sandbox.wire import Refused

_TERM = re.compile(
    r"\s*(?:(?P<name>[\w./-]+)\s*(?:(?P<op>==|!=|=)\s*(?P<value>[\w.-]*)|\s(?P<set>in|notin)\s*\((?P<values>[^)]*)\))?"
    r"|!\s*(?P<absent>[\w./-]+))\s*(?:,|$)"
)


def matches(selector: str, labels: dict[str, str]) -> bool:
    """Return whether labels satisfy a selector; an empty one selects everything.

    Raises:
        Refused: 400, it cannot be read.
    """
    place = 0
    while place < len(selector):
        term = _TERM.match(selector, place)
        if term is None:
            text = f"found {selector[place:]!r}, expected: !, identifier, or 'end of string'"
            raise Refused(400, text, extra={"reason": "BadRequest"})
        if not _holds(term, labels):
            return False
        place = term.end()
    return True


def _holds(term: re.Match[str], labels: dict[str, str]) -> bool:
    if term["absent"]:
        return term["absent"] not in labels
    value = labels.get(term["name"])
    if term["set"]:
        within = value in {one.strip() for one in term["values"].split(",")}
        return within if term["set"] == "in" else not within
    if term["op"]:
        return value != term["value"] if term["op"] == "!=" else value == term["value"]
    return value is not None
