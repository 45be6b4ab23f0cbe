"""The API server as a stand-in: who asks, may they, and then the object or what lies behind it.

The order is the real one's: credentials, rights, whether there is such a path, then the operation.
"""

import base64
import hashlib
import json
import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote

from sandbox import faults
from sandbox.clock import Clock
from sandbox.github.scenario_values import ScenarioError
from sandbox.helm.releases import Rights
from sandbox.kubernetes import behind, patching
from sandbox.kubernetes.objects import CLUSTER_WIDE, KINDS, Kind, Thing
from sandbox.kubernetes.rights import Access, allowed, forbidden
from sandbox.kubernetes.scenario import read_behaviour
from sandbox.kubernetes.selectors import matches
from sandbox.kubernetes.state import State
from sandbox.wire import Bytes, Json, Refused, Reply, Request

ACCOUNT = "system:serviceaccount:runbook:runbook"
ADMINISTRATOR = "kubernetes-admin"
VERBS = {"GET": "get", "POST": "create", "PATCH": "patch"}
LIST_PARAMETERS = {"labelSelector", "limit", "continue", "resourceVersion", "timeoutSeconds", "pretty"}
CONTINUE_SECONDS = 300
"""After so long the next page of a list is gone, as after the store's compaction."""
FAULTS = {
    401: ("Unauthorized", "Unauthorized"),
    409: (
        "Conflict",
        "Operation cannot be fulfilled: the object has been modified; please apply your changes to the "
        "latest version and try again",
    ),
    410: ("Expired", "The resourceVersion for the provided list is too old."),
    429: ("TooManyRequests", "Too many requests, please try again later."),
    500: ("InternalError", "Internal error occurred: etcdserver: request timed out"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
}
_PATH = re.compile(
    r"/(?:api/(?P<core>v1)|apis/(?P<group>[^/]+)/(?P<version>[^/]+))"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]))?/(?P<plural>[^/]+)(?:/(?P<name>[^/]+)(?:/(?P<sub>[^/]+)(?P<rest>/.*)?)?)?"
)


class Kubernetes:
    """The stand-in.

    Args:
        state: The cluster.
    """

    def __init__(self, state: State) -> None:
        self.data = state
        self.clock: Clock = state.clock
        self.faults = faults.Faults()
        self._users = {token_of(user): user for user in (ACCOUNT, ADMINISTRATOR)}

    def start(self, url: str) -> None:
        """Nothing goes on beside answering requests: time is caught up with when somebody asks."""

    def stop(self) -> None:
        """Nothing is to be ended."""

    def steer(self, what: str, data: Json) -> Json | None:
        """Do what a ``/_sandbox`` page asks: ``permissions``, ``images`` or ``deploy``.

        Raises:
            Refused: It cannot be done.
        """
        with self.data.lock:
            try:
                if what == "permissions":
                    self.data.rules = data["rules"]
                    return {"rules": self.data.rules}
                if what == "images":
                    self.data.settle()
                    for image, row in data.items():
                        self.data.images[image] = read_behaviour(row, f"images.{image}")
                    self.data.changed()
                    return {"images": sorted(self.data.images)}
                if what == "deploy":
                    kind, cause = data.get("kind", "Deployment"), data.get("change_cause")
                    where = (data["namespace"], data["name"])
                    self.data.deploy(*where, data["images"], kind=kind, change_cause=cause)
                    return {"images": data["images"]}
            except ScenarioError as error:
                raise Refused(422, str(error)) from error
            except KeyError as error:
                raise Refused(422, f"{what}: {error} is missing or not there. Nothing was done.") from error
        return None

    def state(self) -> Json:
        """Return what ``GET /_sandbox/state`` shows."""
        with self.data.lock:
            self.data.settle()
            return self.data.as_json()

    def actor(self, request: Request) -> str | None:
        """Return the user behind the request's token."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return self._users.get(token.strip()) if scheme.lower() == "bearer" else None

    def failure(self, request: Request, status: int, message: str | None, retry_after: int | None) -> Reply:
        """Word a fault as the API server would."""
        if status == 403:
            found = _PATH.fullmatch(request.path)
            access = _access(request, found) if found else Access(VERBS.get(request.method, "get"), "", "")
            refused = forbidden(self.actor(request) or "system:anonymous", access)
        else:
            reason, text = FAULTS.get(
                status, ("", "an error on the server has prevented the request from succeeding")
            )
            refused = Refused(status, text, extra={"reason": reason})
        if retry_after is not None:
            refused.headers["Retry-After"] = str(retry_after)
            refused.extra["details"] = {"retryAfterSeconds": retry_after}
        if message is not None:
            refused.message = message
        return _status(refused)

    def handle(self, request: Request) -> tuple[Reply, bool]:
        """Answer one request; the second value says whether it changed anything."""
        with self.data.lock:
            self.data.settle()
            before = self.data.writes
            try:
                reply = self._operate(request)
            except Refused as refused:
                reply = _status(refused)
            return reply, self.data.writes != before

    def _operate(self, request: Request) -> Reply:
        user = self.actor(request)
        if user is None and request.headers.get("authorization"):
            raise Refused(401, "Unauthorized", extra={"reason": "Unauthorized"})
        if request.path in ("/readyz", "/livez", "/healthz"):
            return Reply(200, Bytes(b"ok"), content_type="text/plain; charset=utf-8")
        if request.path in ("/version", "/version/"):
            return Reply(200, _version())
        if request.path.startswith("/helm/"):
            return self._helm(request)
        found = _PATH.fullmatch(request.path)
        if found is None:
            return _no_page()
        access = _access(request, found)
        if access.plural == "selfsubjectaccessreviews":
            return self._review(request, user)
        if user != ADMINISTRATOR and not allowed([] if user is None else self.data.rules, access):
            raise forbidden(user or "system:anonymous", access)
        kind = self._kind(access.group, found["version"] or found["core"], access.plural)
        if kind is None:
            return _no_page()
        if request.method == "GET" and not access.name:
            return self._list(kind, access.namespace, request.query)
        if request.method == "POST" and not access.name:
            body = _json(request)
            thing = self.data.create(kind, access.namespace, body, manager=_manager(request))
            return Reply(201, self.data.shown(thing), content_type="application/json")
        return self._one(request, kind, access, found["rest"] or "/")

    def _one(self, request: Request, kind: Kind, access: Access, rest: str) -> Reply:
        data = self.data
        if (access.resource, request.method) == ("services/proxy", "GET"):
            return behind.ask(data, access.namespace, access.name, unquote(rest))
        thing = data.find(kind.resource, access.namespace, access.name)
        if thing is None:
            details = {"name": access.name, "group": kind.group, "kind": kind.plural}
            text = f'{kind.resource} "{access.name}" not found'
            raise Refused(404, text, extra={"reason": "NotFound", "details": details})
        if (access.resource, request.method) == ("pods/log", "GET"):
            return behind.log(data, thing, dict(request.query))
        if access.subresource or request.method not in ("GET", "PATCH"):
            raise Refused(
                405,
                "the server does not allow this method on the requested resource",
                extra={"reason": "MethodNotAllowed"},
            )
        if request.method == "PATCH":
            wanted = patching.apply(thing.body, _json(request), request.headers.get("content-type", ""))
            data.replace(thing, wanted, manager=_manager(request))
        return Reply(200, data.shown(thing), content_type="application/json")

    def _kind(self, group: str, version: str, plural: str) -> Kind | None:
        for one in KINDS:
            if (one.group, one.version, one.plural) == (group, version, plural):
                return one
        definition = self.data.find("customresourcedefinitions.apiextensions.k8s.io", "", f"{plural}.{group}")
        if definition is None or version not in [one["name"] for one in definition.body["spec"]["versions"]]:
            return None
        return Kind(group, version, plural, definition.body["spec"]["names"]["kind"])

    def _list(self, kind: Kind, namespace: str, query: Any) -> Reply:
        if unknown := sorted(set(query) - LIST_PARAMETERS):
            raise Refused(400, f"this stand-in lists without {unknown[0]}", extra={"reason": "BadRequest"})
        start, version = 0, self.data.version
        if query.get("continue"):
            start, version, since = _read_token(query["continue"])
            if self.data.at - since > timedelta(seconds=CONTINUE_SECONDS):
                text = "The provided continue parameter is too old to display a consistent list result."
                raise Refused(410, text, extra={"reason": "Expired"})
        selector = query.get("labelSelector", "")
        rows = [
            one
            for one in self.data.of(kind.resource, namespace)
            if matches(selector, one.body["metadata"].get("labels") or {})
        ]
        size = int(query.get("limit") or 0) or len(rows)
        metadata: Json = {"resourceVersion": version}
        if len(rows) > start + size:
            metadata["continue"] = _token(start + size, version, self.data.at)
            metadata["remainingItemCount"] = len(rows) - start - size
        items = [self._item(one) for one in rows[start : start + size]]
        body = {
            "kind": f"{kind.kind}List",
            "apiVersion": kind.api_version,
            "metadata": metadata,
            "items": items,
        }
        return Reply(200, body, content_type="application/json")

    def _item(self, thing: Thing) -> Json:
        shown = self.data.shown(thing)
        if thing.kind in KINDS:  # built-in kinds do not repeat what the list says already
            del shown["kind"], shown["apiVersion"]
        return shown

    def _review(self, request: Request, user: str | None) -> Reply:
        spec = _json(request).get("spec") or {}
        asked = spec.get("resourceAttributes") or {}
        names = ("verb", "group", "resource", "subresource", "namespace", "name")
        access = Access(*(str(asked.get(name) or "") for name in names))
        rules = [] if user is None else self.data.rules
        status = {"allowed": user == ADMINISTRATOR or allowed(rules, access)}
        kind = {"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1"}
        body = {**kind, "metadata": {}, "spec": spec, "status": status}
        return Reply(201, body, content_type="application/json")

    def _helm(self, request: Request) -> Reply:
        user = self.actor(request)
        if user is None:
            raise Refused(401, "Unauthorized", extra={"reason": "Unauthorized"})
        rights = Rights(user, None if user == ADMINISTRATOR else self.data.rules)
        answer, changed = self.data.releases.answer(
            request.path.removeprefix("/helm/"), _json(request), rights
        )
        self.data.writes += changed
        return Reply(200, answer, content_type="application/json")


def token_of(user: str) -> str:
    """Return the token of an account."""
    return "sandbox-" + hashlib.sha256(user.encode()).hexdigest()[:40]


def _access(request: Request, found: re.Match[str]) -> Access:
    part = {key: unquote(value or "") for key, value in found.groupdict().items()}
    verb = VERBS.get(request.method, request.method.lower())
    if part["plural"] in CLUSTER_WIDE:
        part["namespace"] = ""
    if verb == "get" and not part["name"]:
        verb = "list"
    return Access(verb, part["group"], part["plural"], part["sub"], part["namespace"], part["name"])


def _status(refused: Refused) -> Reply:
    reason, details = refused.extra.get("reason"), refused.extra.get("details")
    body: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    body["message"] = refused.message
    body.update({"reason": reason} if reason else {}, **({"details": details} if details is not None else {}))
    body["code"] = refused.status
    return Reply(refused.status, body, dict(refused.headers), content_type="application/json")


def _no_page() -> Reply:
    return Reply(404, Bytes(b"404 page not found\n"), content_type="text/plain; charset=utf-8")


def _version() -> Json:
    build = {"gitVersion": "v1.36.3", "gitCommit": "sandbox", "gitTreeState": "clean"}
    made = {
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "none",
        "platform": "sandbox",
    }
    return {"major": "1", "minor": "36", **build, **made}


def _json(request: Request) -> Any:
    try:
        return json.loads(request.body)
    except ValueError as error:
        raise Refused(400, f"error decoding the body: {error}", extra={"reason": "BadRequest"}) from error


def _manager(request: Request) -> str:
    return request.query.get("fieldManager") or request.headers.get("user-agent", "unknown").partition("/")[0]


def _token(start: int, version: str, moment: datetime) -> str:
    return base64.urlsafe_b64encode(json.dumps([start, version, moment.isoformat()]).encode()).decode()


def _read_token(token: str) -> tuple[int, str, datetime]:
    try:
        start, version, moment = json.loads(base64.urlsafe_b64decode(token))
        return int(start), str(version), datetime.fromisoformat(moment)
    except (ValueError, TypeError) as error:
        text = f"invalid continue token: continue key is not valid: {error}"
        raise Refused(400, text, extra={"reason": "BadRequest"}) from error
