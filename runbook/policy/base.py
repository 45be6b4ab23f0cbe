"""The small types that every section of the policy is made of."""

from typing import Annotated

from pydantic import Field, StringConstraints

from runbook.models import Frozen

# GitHub's own rules are narrower for new accounts; enterprise-managed logins carry an underscore, and the
# account of an app ends in "[bot]".
Login = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,60}(\[bot\])?$")]
# A person or a team as GitHub mentions them: "@alice", "@acme/on-call".
Handle = Annotated[str, StringConstraints(pattern=r"^@[A-Za-z0-9][A-Za-z0-9_-]*(/[A-Za-z0-9._-]+)?$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
Channel = Annotated[str, StringConstraints(pattern=r"^#[a-z0-9._-]+$")]
Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")]
HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://\S+$")]
HttpsUrl = Annotated[str, StringConstraints(pattern=r"^https://\S+$")]

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Minutes = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Section(Frozen):
    """A table of the policy file: immutable, and a key it does not know is an error."""
