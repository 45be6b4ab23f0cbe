"""What an image's name says: registry, repository, tag, digest, and the commit that a tag is made of.

The grammar is the one of the reference that Docker and Kubernetes share (distribution/reference, "Grammar"), with
Docker's defaults: no registry means ``docker.io``, a bare name there lies under ``library/``, no tag means ``latest``.
"""

import re

from runbook.models import Frozen

DOCKER_HUB = "docker.io"
_HUB_ALIASES = frozenset({"index.docker.io", "registry-1.docker.io"})

_MOST_CHARACTERS = 1_024
_MOST_NAME_CHARACTERS = 255
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:.]{{2,45}}\])(?::[0-9]{{1,5}})?")
_PART = re.compile(r"[a-z0-9]+(?:(?:[.]|__?|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
# Build tools make tags of commits in three ways: alone, after "sha-" or "…-g" (git describe), after a branch.
_COMMIT = re.compile(r"(?:(?P<before>[A-Za-z0-9_.-]*)-)?(?P<mark>g?)(?P<sha>[0-9a-f]{7,40})")
_FULL_SHA_DIGITS = 40


class ImageReference(Frozen):
    """One image by name, as a pod template gives it; the defaults are filled in.

    Args:
        registry: Its host, with a port if it names one: ``ghcr.io``, ``localhost:5000``.
        repository: Its path there: ``acme/vibevoice-tts``.
        tag: Its tag; empty where only a digest was given.
        digest: ``sha256:…``; empty where none was given: the tag may then name another image tomorrow.
    """

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Registry and repository, without tag and digest."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}{f'@{self.digest}' if self.digest else ''}"


def parse_image(text: str) -> ImageReference | None:
    """Read an image's name; None where no registry would take it for one.

    Args:
        text: ``[registry/]name[:tag][@digest]``.
    """
    if len(text) > _MOST_CHARACTERS:
        return None
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        return None
    head, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and not _TAG.fullmatch(tag):
        return None
    registry, repository = _split(f"{head}{slash}{last}")
    if not _REGISTRY.fullmatch(registry) or len(repository) > _MOST_NAME_CHARACTERS:
        return None
    if not all(_PART.fullmatch(part) for part in repository.split("/")):
        return None
    return ImageReference(
        registry=registry,
        repository=repository,
        tag=tag or ("" if digest else "latest"),
        digest=digest,
    )


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not (set(".:[") & set(first) or first == "localhost" or first != first.lower()):
        first, rest = DOCKER_HUB, name
    if first in _HUB_ALIASES:
        first = DOCKER_HUB
    if first == DOCKER_HUB and "/" not in rest:
        rest = f"library/{rest}"
    return first, rest


def is_digest(text: str) -> bool:
    """Whether this is an image's digest: ``sha256:`` and 64 hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Whether this may be an image's tag."""
    return _TAG.fullmatch(text) is not None


def same_repository(one: str, other: str) -> bool:
    """Whether two names lie in one repository, whatever their tags: ``app`` and ``docker.io/library/app:v1``."""
    first, second = parse_image(one), parse_image(other)
    return first is not None and second is not None and first.name == second.name


def same_image(one: str, other: str) -> bool:
    """Whether two names certainly stand for one image: same repository, and same digest or (both without) same tag."""
    first, second = parse_image(one), parse_image(other)
    if first is None or second is None:
        return one == other
    if first.name != second.name or bool(first.digest) != bool(second.digest):
        return False
    return first.digest == second.digest if first.digest else first.tag == second.tag


def commit_of(tag: str) -> str:
    """Return the commit that a tag is made of, shortened or whole; empty where it is none.

    Digits alone are a date or a build number, unless ``sha-`` stands before them or there are forty.

    Args:
        tag: ``abcdef1``, ``sha-abcdef1``, ``main-abcdef1``, ``v1.2.0-3-gabcdef1``.
    """
    match = _COMMIT.fullmatch(tag) if len(tag) <= 128 else None
    if match is None or (match["mark"] and not match["before"]):
        return ""
    sha = match["sha"]
    marked = match["before"] == "sha" or bool(match["mark"])
    if sha.isdecimal() and not marked and len(sha) < _FULL_SHA_DIGITS:
        return ""
    return sha
