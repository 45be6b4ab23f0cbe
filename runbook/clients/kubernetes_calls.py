"""Calls of the API server's, named as its access rules name them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from runbook.errors import UsageError

FIELD_MANAGER = "runbook"


@dataclass(frozen=True)
class Call:
    """One call, named as access rules name it.

    Args:
        verb: ``get``, ``list``, ``patch``, ``create``.
        resource: Plural with group, and a subresource after a slash: ``deployments.apps``, ``pods/log``.
        namespace: Empty outside of namespaces.
        name: Of one object; empty for a list.
        path: Where it goes, percent-encoded.
        query: What comes after the question mark.
        writes: Whether it changes anything. A review of access is created, and changes nothing.
    """

    verb: str
    resource: str
    path: str
    namespace: str = ""
    name: str = ""
    query: Mapping[str, str | int] = field(default_factory=dict)
    writes: bool = False

    @property
    def method(self) -> str:
        """The HTTP method."""
        return {"patch": "PATCH", "create": "POST"}.get(self.verb, "GET")

    @property
    def access(self) -> str:
        """The permission that it needs: ``patch deployments.apps in voice-agent``."""
        return f"{self.verb} {self.resource}" + (f" in {self.namespace}" if self.namespace else "")

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{f' {self.name}' if self.name else ''}{where}"


def call_of(
    verb: str,
    version: str,
    plural: str,
    namespace: str,
    name: str | None = None,
    *,
    subresource: str = "",
    selector: str = "",
    query: dict[str, str | int] | None = None,
) -> Call:
    """Return a call about one object, or, without a name, about all of a kind in a namespace."""
    group = version.rpartition("/")[0]
    root = "/apis" if group else "/api"
    below = f"/{subresource}" if subresource else ""
    whole = f"/{segment(name, plural.removesuffix('s'))}{below}" if name is not None else ""
    where = f"{root}/{version}/namespaces/{segment(namespace, 'namespace')}/{segment(plural, 'kind')}"
    return Call(
        verb=verb,
        resource=f"{plural}{f'.{group}' if group else ''}{below}",
        path=where + whole,
        namespace=namespace,
        name=name or "",
        query={**(query or {}), **({"labelSelector": selector} if selector else {})},
        writes=verb == "patch",
    )


def patch_of(version: str, plural: str, namespace: str, name: str) -> Call:
    return call_of("patch", version, plural, namespace, name, query={"fieldManager": FIELD_MANAGER})


def segment(value: str, what: str) -> str:
    """Return a name as one segment of a path.

    Raises:
        UsageError: It is empty, or would lead to another path.
    """
    if not value or unquote(value) in (".", "..") or "/" in value:
        raise UsageError(f"{value!r} is not the name of a {what}.", unchanged="Nothing was sent.")
    return quote(value, safe="")


def service_path(path: str) -> str:
    """Return a path that a service is asked for, query too, as it is sent.

    Raises:
        UsageError: It leads out of the service: the API server would take it for a call of its own.
    """
    if not path.startswith("/") or any(part in (".", "..") for part in unquote(path).split("/")):
        raise UsageError(
            f"{path!r} is not the path of a page of a service: it starts with / and names no . or ..",
            unchanged="Nothing was sent.",
        )
    return quote(path, safe="/?&=%:@,;+~!$'()*-._")
