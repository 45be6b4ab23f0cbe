"""Single values of a scenario: durations, known keys, logs."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sandbox.github.records import LogText
from sandbox.wire import Body, Bytes, Joined, Json, Repeated

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
ESCAPE_SIGN = "␛"  # stands for the escape character, which YAML block text cannot hold


class ScenarioError(ValueError):
    """A scenario cannot be read; the text says where and why."""


def seconds(value: float | str) -> float:
    """Read a duration: a number of seconds, or "90s", "25m", "3h", "40d"."""
    if isinstance(value, int | float):
        return float(value)
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value))
    if not match:
        raise ScenarioError(f"{value!r} is not a duration; write seconds, or 90s, 25m, 3h, 40d")
    return float(match[1]) * UNIT_SECONDS[match[2]]


def known(data: Any, where: str, *names: str) -> Json:
    """Return ``data`` if it is a mapping with no keys but ``names``.

    Raises:
        ScenarioError: It is not; the text names the place and the key.
    """
    if not isinstance(data, dict):
        raise ScenarioError(f"{where}: a mapping is wanted, not {type(data).__name__}")
    if unknown := sorted(set(data) - set(names)):
        raise ScenarioError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(names)}")
    return data


def read_logs(item: Any, named: Mapping[str, Any], now: datetime) -> dict[str, LogText | Body]:
    """Read a job's log: one for any conclusion (under ""), or one for each.

    Args:
        item: Text, the name of a log, made-up content, a list of these, or {failure: …, success: …}.
        named: The logs that have a name.
        now: Start of a log whose lines are stamped inside a list.
    """
    if isinstance(item, dict) and not set(item) - {"failure", "success"}:
        return {conclusion: _log(one, named, now) for conclusion, one in item.items()}
    return {"": _log("Nothing to report." if item is None else item, named, now)}


def _log(item: Any, named: Mapping[str, Any], now: datetime) -> LogText | Body:
    if isinstance(item, str) and item in named:
        item = named[item]
    if isinstance(item, str):
        return LogText(item.replace(ESCAPE_SIGN, "\x1b"), stamped=True)
    if isinstance(item, list):
        parts = [_log(one, named, now) for one in item]
        return Joined([one.at(now, 1.0) if isinstance(one, LogText) else one for one in parts])
    known(item, "a log", "text", "stamped", "repeat", "line_bytes", "binary_bytes", "bytes")
    if "repeat" in item:
        return Repeated(str(item["repeat"]).encode(), int(item["bytes"]))
    if "line_bytes" in item:
        return Joined([Repeated(b"x", int(item["line_bytes"])), Bytes(b"\n")])
    if "binary_bytes" in item:
        return Repeated(bytes(range(256)), int(item["binary_bytes"]))
    text = str(item.get("text", "")).replace(ESCAPE_SIGN, "\x1b")
    return LogText(text, stamped=bool(item.get("stamped", True)))
