"""Helm twice: the stand-in's program in front of the sandbox's cluster, and the real one in front of a real API server.

The product's client reads and rolls back on both; whoever installs and upgrades is somebody else.
"""

import json
import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path

import yaml

from integration.kubernetes.cluster import Cluster, program
from runbook.clients.helm_client import HelmClient, HelmTimeouts
from sandbox.box import KubernetesBox
from sandbox.helm.releases import Release, ReleaseRevision, ReleaseWorkload
from sandbox.kubernetes.objects import kind_of
from sandbox.wire import Json
from tests.deadline import until

CHART = Path(__file__).parents[3] / "integration" / "kubernetes" / "chart"
SECONDS = 30


class System(ABC):
    """A cluster with Helm in front of it; every release is one Deployment of the same name."""

    namespace: str
    kubeconfig: Path
    program: Path

    def client(self, *, kubeconfig: Path | None = None, timeouts: HelmTimeouts | None = None) -> HelmClient:
        """Return the product's client."""
        return HelmClient(kubeconfig or self.kubeconfig, program=str(self.program), timeouts=timeouts)

    def other_kubeconfig(self, folder: Path, *, token: str, server: str = "") -> Path:
        """Return a kubeconfig of the same cluster, or another one's, with another token."""
        config = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        config["users"][0]["user"] = {"token": token}
        cluster = config["clusters"][0]["cluster"]
        cluster["server"] = server or cluster["server"]
        path = folder / "other-kubeconfig"
        path.write_text(json.dumps(config), encoding="utf-8")
        return path

    @abstractmethod
    def install(self, release: str, image: str) -> None:
        """Install a release; its pods are ready afterwards."""

    @abstractmethod
    def upgrade(self, release: str, image: str) -> None:
        """Upgrade it; this is not waited for."""

    @abstractmethod
    def upgrade_in_vain(self, release: str) -> None:
        """Upgrade it to an image that never starts, and wait until Helm gives up."""

    @abstractmethod
    def upgrade_killed(self, release: str) -> None:
        """Upgrade it with a program that is killed in the middle."""

    @abstractmethod
    def account(self, *rules: Json) -> Path:
        """Return a kubeconfig of an account that may do what these rules of a role say, in the namespace."""

    @abstractmethod
    def image(self, release: str) -> str:
        """Return the image that its Deployment wants."""


class StandIn(System):
    """The sandbox's."""

    def __init__(self, box: KubernetesBox) -> None:
        self.namespace = "voice"
        self.kubeconfig, self.program = box.kubeconfig, box.helm
        self._state = box.state
        self._releases = box.state.releases
        self._state.create(kind_of("Namespace"), "", {"metadata": {"name": self.namespace}})

    def install(self, release: str, image: str) -> None:
        labels = {"app": release}
        container = {"name": "app", "image": image}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        self._state.create(
            kind_of("Deployment"), self.namespace, {"metadata": {"name": release}, "spec": spec}
        )
        first = ReleaseRevision(
            revision=1,
            updated=self._state.clock.now(),
            status="deployed",
            chart="service-0.1.0",
            app_version="1.0",
            description="Install complete",
            workloads=(ReleaseWorkload(release, image),),
        )
        self._releases.known[self.namespace, release] = Release(self.namespace, release, [first])

    def upgrade(self, release: str, image: str) -> None:
        self._releases.upgrade(self.namespace, release, (ReleaseWorkload(release, image),))

    def upgrade_in_vain(self, release: str) -> None:
        self._releases.upgrade(
            self.namespace,
            release,
            (ReleaseWorkload(release, "registry.example/bad:1"),),
            status="failed",
            description=f'Upgrade "{release}" failed: context deadline exceeded',
        )

    def upgrade_killed(self, release: str) -> None:
        self._releases.upgrade(
            self.namespace,
            release,
            (ReleaseWorkload(release, "registry.example/bad:2"),),
            status="pending-upgrade",
            description="Preparing upgrade",
        )

    def account(self, *rules: Json) -> Path:
        self._state.rules = list(rules)
        return self.kubeconfig

    def image(self, release: str) -> str:
        body = self._state.workload(self.namespace, release).body
        return str(body["spec"]["template"]["spec"]["containers"][0]["image"])


class Real(System):
    """The real program and a real API server, with kwok's pods."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self.namespace = namespace
        self.kubeconfig, self.program = cluster.kubeconfig, program("helm")

    def _helm(self, *arguments: str, fails: bool = False) -> None:
        ran = subprocess.run(
            self._line(*arguments), check=False, capture_output=True, text=True, timeout=SECONDS
        )
        assert (ran.returncode != 0) is fails, ran.stderr

    def _line(self, *arguments: str) -> list[str]:
        return [
            str(self.program),
            *arguments,
            f"--kubeconfig={self.kubeconfig}",
            f"--namespace={self.namespace}",
        ]

    def install(self, release: str, image: str) -> None:
        self._helm("install", release, str(CHART), f"--set=image={image}", "--wait", f"--timeout={SECONDS}s")

    def upgrade(self, release: str, image: str) -> None:
        self._helm("upgrade", release, str(CHART), f"--set=image={image}")

    def upgrade_in_vain(self, release: str) -> None:
        line = ("--set=image=registry.example/bad:1", "--wait", "--timeout=2s")
        self._helm("upgrade", release, str(CHART), *line, fails=True)

    def upgrade_killed(self, release: str) -> None:
        line = ("--set=image=registry.example/bad:2", "--wait", f"--timeout={SECONDS}s")
        upgrade = subprocess.Popen(
            self._line("upgrade", release, str(CHART), *line), stderr=subprocess.DEVNULL
        )
        try:
            # It waits for pods that never start: what it changes by then is changed.
            until(lambda: self.image(release) == "registry.example/bad:2", seconds=SECONDS)
        finally:
            upgrade.send_signal(signal.SIGKILL)
            upgrade.wait()

    def account(self, *rules: Json) -> Path:
        named = {"name": "rollback", "namespace": self.namespace}
        kind = {"apiVersion": "rbac.authorization.k8s.io/v1"}
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "rollback"}
        subjects = [{"kind": "ServiceAccount", **named}]
        self._cluster.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": named},
            {**kind, "kind": "Role", "metadata": named, "rules": list(rules)},
            {**kind, "kind": "RoleBinding", "metadata": named, "roleRef": role, "subjects": subjects},
        )
        return self._cluster.service_account(self.namespace, "rollback")

    def image(self, release: str) -> str:
        path = "jsonpath={.spec.template.spec.containers[0].image}"
        return self._cluster.kubectl("get", "deployment", release, "-n", self.namespace, "-o", path)
