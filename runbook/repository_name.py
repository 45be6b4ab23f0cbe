"""How a repository is named: owner/name, by one rule wherever a name is taken in."""

import re
from typing import Annotated

from pydantic import StringConstraints

# Logins of enterprise-managed accounts carry an underscore before the enterprise's short name. GitHub takes no name of
# dots alone, which would climb in an address.
_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]*/\.*[A-Za-z0-9_-][A-Za-z0-9._-]*"
# GitHub: 39 for the owner, 100 for the name.
_MAX_CHARACTERS = 140

RepositoryName = Annotated[str, StringConstraints(pattern=rf"^{_PATTERN}$", max_length=_MAX_CHARACTERS)]
"""A repository's name as a field of a model."""


def is_repository_name(text: str) -> bool:
    """Return whether a text is a repository's whole name, owner/name."""
    return len(text) <= _MAX_CHARACTERS and re.fullmatch(_PATTERN, text) is not None
