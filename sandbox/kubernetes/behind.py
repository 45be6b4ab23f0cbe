"""What lies behind the API server: containers' logs, and services' own answers through its proxy."""

from sandbox.kubernetes.objects import Thing
from sandbox.kubernetes.state import State
from sandbox.wire import Bytes, Json, Refused, Reply

HEALTH_PATHS = ("/health", "/healthz", "/livez", "/ready", "/readyz")


def log(state: State, pod: Thing, query: dict[str, str]) -> Reply:
    """Answer with a container's log, or its last ``tailLines`` lines.

    Raises:
        Refused: 400, for a container that is unknown, not named where there are several, or has not started.
    """
    names = [one["name"] for one in pod.body["spec"]["containers"]]
    name = query.get("container") or (names[0] if len(names) == 1 else "")
    if not name:
        listed = " ".join(names)
        raise _bad(f"a container name must be specified for pod {pod.name}, choose one of: [{listed}]")
    if name not in names:
        raise _bad(f"container {name} is not valid for pod {pod.name}")
    behaviour = state.behaviours(pod)[names.index(name)]
    if behaviour.start == "image_pull_backoff":
        why = "trying and failing to pull image"
        raise _bad(f'container "{name}" in pod "{pod.name}" is waiting to start: {why}')
    if behaviour.start == "ready" and not state.ready(pod):
        raise _bad(f'container "{name}" in pod "{pod.name}" is waiting to start: ContainerCreating')
    lines = behaviour.log.splitlines(keepends=True)
    if "tailLines" in query:
        count = int(query["tailLines"]) if query["tailLines"].isdecimal() else len(lines)
        lines = lines[len(lines) - min(count, len(lines)) :]
    data = "".join(lines).encode()
    if query.get("limitBytes", "").isdecimal():
        data = data[: int(query["limitBytes"])]
    return Reply(200, Bytes(data), content_type="text/plain")


def _bad(message: str) -> Refused:
    return Refused(400, message, extra={"reason": "BadRequest"})


def ask(state: State, namespace: str, target: str, path: str) -> Reply:
    """Answer as a service does: one of its ready pods speaks, each in its turn.

    Args:
        state: The cluster.
        namespace: The service's.
        target: ``scheme:name:port``, ``name:port`` or ``name``.
        path: The path asked for.

    Raises:
        Refused: The API server's own refusals: 404 for no such service, 503 for no such port or no ready pod.
    """
    parts = target.split(":")
    name, port = (parts[1], parts[2]) if len(parts) == 3 else (parts[0], parts[1] if len(parts) == 2 else "")
    service = state.find("services", namespace, name)
    if service is None:
        details = {"name": name, "kind": "services"}
        raise Refused(404, f'services "{name}" not found', extra={"reason": "NotFound", "details": details})
    spec = service.body["spec"]
    known = {str(one.get(key, "")) for one in spec["ports"] for key in ("port", "name")}
    if port and port not in known:
        raise _away(f'no service port {port} found for service "{name}"')
    ready = [pod for pod in state.of("pods", namespace) if _selects(spec, pod) and state.ready(pod)]
    if not ready:
        raise _away(f'no endpoints available for service "{target}"')
    state.asked += 1
    return _answer(state, ready[state.asked % len(ready)], path)


def _selects(spec: Json, pod: Thing) -> bool:
    labels = pod.body["metadata"]["labels"]
    return bool(spec.get("selector")) and all(
        labels.get(key) == value for key, value in spec["selector"].items()
    )


def _away(message: str) -> Refused:
    return Refused(503, message, extra={"reason": "ServiceUnavailable"})


def _answer(state: State, pod: Thing, path: str) -> Reply:
    behaviours = state.behaviours(pod)
    if path in {one.metrics_path for one in behaviours}:
        text = "".join(one.metrics for one in behaviours)
        return Reply(200, Bytes(text.encode()), content_type="text/plain; version=0.0.4")
    if path not in {*HEALTH_PATHS, *(one.health_path for one in behaviours)}:
        return Reply(404, {"detail": "Not Found"}, content_type="application/json")
    status = max(one.health for one in behaviours)
    return Reply(status, {"status": "ok" if status < 400 else "failing"}, content_type="application/json")
