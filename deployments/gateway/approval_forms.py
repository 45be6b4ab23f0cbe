"""What the approval page accepts as its own form: where it came from, how large it is, and its token."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from fastapi import Request

FORM_LIFETIME = timedelta(minutes=30)
MAX_FORM_BYTES = 16_384
_MAX_FIELDS = 12


@dataclass(frozen=True)
class DecisionForm:
    """The fields as they were sent; a missing one is empty."""

    token: str
    decision: str
    reason: str
    login: str
    code: str

    def __repr__(self) -> str:  # a code must not get into a log
        return f"DecisionForm(decision={self.decision!r})"


class FormTokens:
    """Makes and checks the token that binds a form to a plan and a time; a restart makes all old ones worthless."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def make(self, plan_id: str, *, now: datetime) -> str:
        """Return a token for a plan's form.

        Args:
            plan_id: The plan.
            now: The time.
        """
        issued = int(now.timestamp())
        return f"{issued}.{self._mac(plan_id, issued)}"

    def valid(self, token: str, plan_id: str, *, now: datetime) -> bool:
        """Tell whether this is a token that was made for this plan's form at most half an hour ago.

        Args:
            token: What was sent.
            plan_id: The plan.
            now: The time.
        """
        issued, _, mac = token.partition(".")
        if not (issued.isascii() and issued.isdigit() and len(issued) <= 12):
            return False
        expected = self._mac(plan_id, int(issued))
        age = int(now.timestamp()) - int(issued)
        return hmac.compare_digest(expected.encode(), mac.encode("utf-8", "replace")) and (
            0 <= age <= FORM_LIFETIME.total_seconds()
        )

    def _mac(self, plan_id: str, issued: int) -> str:
        return hmac.new(self._key, f"{plan_id}\n{issued}".encode(), hashlib.sha256).hexdigest()


def from_this_page(request: Request) -> bool:
    """Tell whether a form was sent by a page of this site.

    ``Sec-Fetch-Site``, which browsers send to https and loopback and no page can forge, decides where it is there:
    under ``Referrer-Policy: no-referrer`` a form's ``Origin`` is ``null``. Without it, the origin must be ours.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin", "")
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and parts.netloc != ""
        and parts.netloc == request.headers.get("host")
    )


def parse_form(content_type: str, body: bytes) -> DecisionForm | None:
    """Read the form's fields; None where it is no such form.

    Args:
        content_type: The request's.
        body: Its body.
    """
    if content_type.partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return None
    try:
        fields = parse_qs(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict"
        )
    except ValueError:
        return None

    def one(name: str) -> str:
        values = fields.get(name, [""])
        return values[0] if len(values) == 1 else ""

    return DecisionForm(
        token=one("token"),
        decision=one("decision"),
        reason=one("reason"),
        login=one("login"),
        code=one("code"),
    )
