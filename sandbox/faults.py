"""Faults on demand: what the network and a system in trouble do to a request.

``POST /_sandbox/faults`` takes ``{"method", "path_regex", "fault", "times", "seconds", "retry_after",
"message"}``; ``Fault`` says what each means. For a delivery's faults ``path_regex`` is searched in
"event/action", such as ``workflow_run/completed``.
"""

import re
import threading
from dataclasses import dataclass

from sandbox.wire import Json, Refused

# Faults named *_after let the effect happen first; the client cannot tell them from their *_before twins.
KINDS = (
    "500_before",
    "500_after",
    "timeout",
    "timeout_after",
    "reset",
    "reset_after",
    "401",
    "403",
    "409",
    "410",
    "429",
    "503",
    "slow",
)
# What becomes of a webhook's delivery: nobody hears of it, or it is noted as failed.
DELIVERY_KINDS = ("lost_delivery", "failed_delivery")
DEFAULT_SECONDS = {"timeout": 60.0, "timeout_after": 60.0, "slow": 2.0}


@dataclass
class Fault:
    """One fault that waits for requests.

    Attributes:
        method: HTTP method in capitals, or ``*``.
        path_regex: Searched in the percent-encoded path (without the /api/v3 prefix).
        kind: One of ``KINDS`` or ``DELIVERY_KINDS``.
        times: How many requests it still hits; None means all until it is removed.
        seconds: Real seconds that a time-out is held, or that a slow body takes.
        retry_after: Seconds named in Retry-After of a 403 or 429; None leaves the header out.
        message: Text of a 403 or 429 instead of the rate limit's.
    """

    method: str
    path_regex: re.Pattern[str]
    kind: str
    times: int | None
    seconds: float
    retry_after: int | None
    message: str | None

    @property
    def effect_first(self) -> bool:
        """Whether the request takes effect before the fault shows."""
        return self.kind.endswith("_after") or self.kind == "slow"

    def as_json(self) -> Json:
        """Return the fault as ``GET /_sandbox/faults`` shows it."""
        return {
            "method": self.method,
            "path_regex": self.path_regex.pattern,
            "fault": self.kind,
            "times": self.times,
            "seconds": self.seconds,
            "retry_after": self.retry_after,
            "message": self.message,
        }


def parse(data: Json) -> Fault:
    """Read a fault from the body of ``POST /_sandbox/faults``.

    Raises:
        Refused: 422, saying which field is wrong.
    """
    kind = str(data.get("fault", ""))
    if kind not in KINDS + DELIVERY_KINDS:
        raise Refused(
            422, f"fault must be one of {', '.join(KINDS + DELIVERY_KINDS)}; got {kind!r}. Nothing was set."
        )
    try:
        pattern = re.compile(str(data.get("path_regex", ".*")))
        times = data.get("times", 1)
        return Fault(
            method=str(data.get("method", "*")).upper(),
            path_regex=pattern,
            kind=kind,
            times=None if times is None else int(times),
            seconds=float(data.get("seconds", DEFAULT_SECONDS.get(kind, 0.0))),
            retry_after=None if data.get("retry_after") is None else int(data["retry_after"]),
            message=data.get("message"),
        )
    except (re.error, TypeError, ValueError) as error:
        raise Refused(422, f"the fault cannot be read: {error}. Nothing was set.") from error


class Faults:
    """The faults that are set; the first that matches a request is used up by it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Set one more fault."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def as_json(self) -> list[Json]:
        """Return the faults that still wait."""
        with self._lock:
            return [fault.as_json() for fault in self._faults]

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault for this request, if any, and count it down."""
        return self._take(method, path, KINDS)

    def take_delivery(self, event: str, action: str | None) -> Fault | None:
        """Return the fault for a webhook's delivery, if any, and count it down."""
        return self._take("POST", f"{event}/{action or ''}", DELIVERY_KINDS)

    def _take(self, method: str, path: str, kinds: tuple[str, ...]) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                fits = fault.kind in kinds and fault.method in ("*", method)
                if fits and fault.path_regex.search(path):
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times <= 0:
                            self._faults.remove(fault)
                    return fault
        return None
