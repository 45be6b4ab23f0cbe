"""The records that the GitHub stand-in keeps of deployments and of images in its registry."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime


def digest_of(text: str) -> str:
    """Return a made-up but stable digest of an image."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass
class Image:
    """One version of an image: ``name`` is ``owner/name``."""

    id: int
    name: str
    digest: str
    tags: list[str]
    created_at: datetime

    def is_called(self, reference: str) -> bool:
        """Whether a tag or digest names it."""
        return reference == self.digest or reference in self.tags


@dataclass
class DeploymentStatus:
    """Something that was said about a deployment."""

    id: int
    state: str
    description: str
    author: str
    at: datetime


@dataclass
class Deployment:
    """A deployment; ``statuses`` has the newest first."""

    id: int
    sha: str
    ref: str
    environment: str
    author: str
    description: str | None
    created_at: datetime
    statuses: list[DeploymentStatus] = field(default_factory=list)
