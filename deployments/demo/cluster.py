"""The sandbox's cluster as a story looks at it: by plain requests, past the product's own client."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.demo.sending import answer_of


@dataclass(frozen=True)
class Cluster:
    """The Kubernetes stand-in.

    Args:
        url: Its address.
        token: The product's token there.
    """

    url: str
    token: str

    @classmethod
    def of(cls, ready: Mapping[str, Any]) -> "Cluster | None":
        """Return the cluster that a sandbox has, if it has one.

        Args:
            ready: What the sandbox says of itself.
        """
        told = ready.get("kubernetes")
        if told is None:
            return None
        config = json.loads(Path(told["kubeconfig"]).read_text(encoding="utf-8"))  # JSON is YAML
        return cls(url=told["url"], token=config["users"][0]["user"]["token"])

    def images(self, namespace: str, name: str) -> tuple[str, ...]:
        """Return the images of a workload's pod template."""
        workloads = self._sandbox("state")["namespaces"][namespace]
        return tuple(next(one["images"] for one in workloads if one["name"] == name))

    def health(self, namespace: str, service: str, *, port: int, path: str) -> int:
        """Ask a service through the API server's proxy; return the HTTP status."""
        address = f"{self.url}/api/v1/namespaces/{namespace}/services/{service}:{port}/proxy{path}"
        return answer_of("GET", address, token=self.token).status_code

    def writes(self) -> list[str]:
        """Return the changes that were made there, as ``PATCH /path``."""
        return [f"{one['method']} {one['path']}" for one in self._sandbox("requests") if one["applied"]]

    def _sandbox(self, page: str) -> Any:
        answer = answer_of("GET", f"{self.url}/_sandbox/{page}")
        answer.raise_for_status()
        return answer.json()
