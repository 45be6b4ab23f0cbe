"""Objects as an API server sends them, and a kubeconfig for a server of a test's own."""

import json
from pathlib import Path
from typing import Any

Json = dict[str, Any]

NAMESPACE = "voice"
TOKEN = "kubernetes-token-of-the-test"
UID = "0e8b4a86-0000-4000-8000-000000000001"


def write_kubeconfig(folder: Path, server: str, *, token: str = TOKEN) -> Path:
    """Write a kubeconfig of one account."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def status(code: int, reason: str, message: str) -> Json:
    """Return the API server's own word."""
    body: Json = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return {**body, "message": message, "reason": reason, "code": code}


def template(**more: Any) -> Json:
    """Return a pod template."""
    container = {"name": "app", "image": "registry.example/app:1"}
    return {"metadata": {"labels": {"app": "tts"}}, "spec": {"containers": [container], **more}}


_TEMPLATE = template()


def body_of(name: str, *, replicas: Any = 1, template: Any = _TEMPLATE) -> Json:
    """Return a Deployment that has just been made."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": UID,
            "resourceVersion": "7",
            "generation": 1,
            "annotations": {"deployment.kubernetes.io/revision": "2"},
        },
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "tts"}},
            "template": json.loads(json.dumps(template)),
        },
    }


def replica_set(name: str, *, number: int = 1) -> Json:
    """Return a ReplicaSet of that Deployment."""
    kept = template()
    kept["metadata"]["labels"]["pod-template-hash"] = "abc"
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "creationTimestamp": "2026-05-04T09:00:00Z",
            "annotations": {
                "deployment.kubernetes.io/revision": str(number),
                "kubernetes.io/change-cause": "one",
            },
            "ownerReferences": [{"kind": "Deployment", "name": "tts", "uid": UID, "controller": True}],
        },
        "spec": {"template": kept},
    }
