"""A real Kubernetes cluster on loopback, for people and for tests: etcd, API server, controllers, scheduler, kwok.

By hand::

    bash integration/kubernetes/setup.sh                 # once: builds the programs
    python -m integration.kubernetes.cluster up DIR      # prints the administrator's KUBECONFIG
    python -m integration.kubernetes.cluster status DIR
    python -m integration.kubernetes.cluster down DIR

In tests, one cluster for all suites of a pytest process::

    from integration.kubernetes.fixtures import real_cluster  # noqa: F401 - the session fixture, a Cluster

A pod's image decides how it fares (``stages.yaml``). A Service whose ``targetPort`` is a server on loopback is
answered by it while the Service has a ready pod (``egress.py``). Every container's log is the cluster's
``container_log``. ``custom_resources.yaml`` are what Argo CD and Flux bring, for `Cluster.apply_file`.
"""

import argparse
import contextlib
import datetime
import json
import os
import secrets
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration.kubernetes.certificates import Authority, write_kubeconfig
from integration.kubernetes.control_plane import (
    ControlPlane,
    control_plane,
    program,
    run_kubectl,
)
from integration.kubernetes.keeper import down, keep, status, up
from runbook.errors import RunbookError

__all__ = [
    "CHART",
    "CUSTOM_RESOURCES",
    "Cluster",
    "Shared",
    "log_line",
    "program",
    "real_cluster",
    "shared_cluster",
]

HERE = Path(__file__).parent
CUSTOM_RESOURCES = HERE / "custom_resources.yaml"
"""Argo CD's Application, Flux' Kustomization and HelmRelease."""
CHART = HERE / "chart"
"""A chart with one Deployment and one ConfigMap; values ``image``, ``replicas``."""

_TEST_KUBECONFIG = "RUNBOOK_TEST_KUBECONFIG"


class Cluster:
    """A cluster that answers.

    Args:
        kubeconfig: Its administrator's.
        scratch: Where files of the tests' own may be put.
        plane: Its processes; None where it is the one that ``RUNBOOK_TEST_KUBECONFIG`` names.
    """

    def __init__(self, kubeconfig: Path, *, scratch: Path, plane: ControlPlane | None = None) -> None:
        self.kubeconfig = kubeconfig
        self._scratch = scratch
        self._plane = plane

    @property
    def own(self) -> bool:
        """It is one of ours: kwok plays its pods, and we sign its certificates."""
        return self._plane is not None

    @property
    def container_log(self) -> Path:
        """The file that every container's log is read from, in lines as `log_line` makes them."""
        return self._own_plane().container_log

    @property
    def authority(self) -> Authority:
        """Signs certificates that the cluster trusts; skips the test where the cluster is not our own."""
        return self._own_plane().authority

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as the administrator and return what it printed.

        Raises:
            subprocess.CalledProcessError: It failed; ``stderr`` says why.
        """
        return run_kubectl(self.kubeconfig, *arguments, stdin=stdin)

    def apply(self, *documents: dict[str, Any]) -> None:
        """Apply objects."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def define_custom_resources(self) -> None:
        """Have the API server know Argo CD's Application and Flux' Kustomization and HelmRelease."""
        self.kubectl("apply", "-f", str(CUSTOM_RESOURCES))
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CUSTOM_RESOURCES))

    @contextlib.contextmanager
    def namespace(self, prefix: str = "test") -> Iterator[str]:
        """Make a namespace of a new name, and delete it at the end without waiting for that."""
        name = f"{prefix}-{secrets.token_hex(4)}"
        self.kubectl("create", "namespace", name)
        try:
            # Until it is there, pods are refused, and their controllers wait longer and longer between attempts.
            self.kubectl("-n", name, "wait", "--for=create", "--timeout=30s", "serviceaccount/default")
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=false")

    def service_account(self, namespace: str, name: str) -> Path:
        """Return a kubeconfig that speaks as this service account, by a token of an hour."""
        token = self.kubectl("-n", namespace, "create", "token", name, "--duration=1h").strip()
        found = yaml.safe_load(self.kubeconfig.read_text())
        context = next(one for one in found["contexts"] if one["name"] == found["current-context"])["context"]
        found["users"] = [{"name": "account", "user": {"token": token}}]
        found["contexts"] = [
            {"name": "account", "context": {"cluster": context["cluster"], "user": "account"}}
        ]
        found["current-context"] = "account"
        file = self._new_file()
        file.write_text(yaml.safe_dump(found))
        return file

    def certificate(self, user: str, *, groups: tuple[str, ...] = (), expires_in_seconds: int = 3600) -> Path:
        """Return a kubeconfig of ``user`` with a client certificate; an expired one by a negative number.

        Skips the test where the cluster is not our own.
        """
        plane = self._own_plane()
        lifetime = datetime.timedelta(seconds=expires_in_seconds)
        file = self._new_file()
        write_kubeconfig(
            file,
            server=plane.server,
            authority=plane.authority.certificate_file.read_bytes(),
            user=plane.authority.client(user, groups=groups, lifetime=lifetime),
        )
        return file

    def calls(self, *, user: str = "", namespace: str = "") -> list[dict[str, Any]]:
        """Return what the API server was asked so far, as its audit events; without the control plane's own talk.

        Skips the test where the cluster is not our own.

        Args:
            user: Only of this one.
            namespace: Only about objects in this one.
        """
        with self._own_plane().audit_log.open() as log:
            # The last line may be half written.
            events = [json.loads(line) for line in log if line.endswith("\n")]
        return [
            event
            for event in events
            if (not user or event["user"]["username"] == user)
            and (not namespace or event.get("objectRef", {}).get("namespace") == namespace)
        ]

    def _own_plane(self) -> ControlPlane:
        if self._plane is None:
            pytest.skip(f"needs a cluster of our own; {_TEST_KUBECONFIG} names another one")
        return self._plane

    def _new_file(self) -> Path:
        number, name = tempfile.mkstemp(prefix="kubeconfig-", dir=self._scratch)
        os.close(number)
        return Path(name)


def log_line(text: str, *, stream: str = "stdout") -> str:
    """Return a line of a container's log as a kubelet keeps it (the CRI logging format)."""
    return f"{datetime.datetime.now(datetime.UTC):%Y-%m-%dT%H:%M:%S.%f000Z} {stream} F {text}\n"


@contextlib.contextmanager
def real_cluster(directory: Path) -> Iterator[Cluster]:
    """Run a cluster of our own with all its state in ``directory``; it ends with the block, or with this process."""
    with control_plane(directory) as plane:
        yield Cluster(plane.kubeconfig, scratch=plane.directory / "pki", plane=plane)


class Shared:
    """The one cluster of this process, while anybody uses it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._cluster: Cluster | None = None
        self._stack = contextlib.ExitStack()

    def enter(self) -> Cluster:
        """Return it, started by the first who asks."""
        with self._lock:
            if self._cluster is None:
                self._cluster = self._start()
            self._users += 1
            return self._cluster

    def leave(self) -> None:
        """End it after the last."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._cluster = None
                self._stack.close()

    def _start(self) -> Cluster:
        directory = Path(tempfile.mkdtemp(prefix="runbook-cluster-"))
        stack = contextlib.ExitStack()
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        given = os.environ.get(_TEST_KUBECONFIG)
        if given:
            cluster = Cluster(Path(given).absolute(), scratch=directory)
            cluster.kubectl("get", "--raw", "/readyz")
        else:
            cluster = stack.enter_context(real_cluster(directory))
        # Only now: the directory of one that did not start stays, for its logs.
        self._stack = stack
        return cluster


_shared = Shared()


@contextlib.contextmanager
def shared_cluster() -> Iterator[Cluster]:
    """Run, or go on using, this process's one cluster, or use the one that ``RUNBOOK_TEST_KUBECONFIG`` names."""
    cluster = _shared.enter()
    try:
        yield cluster
    finally:
        _shared.leave()


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("action", choices=["up", "down", "status", "keep"])
    parser.add_argument("directory", type=Path)
    options = parser.parse_args()
    directory = options.directory.absolute()
    try:
        if options.action == "up":
            print(up(directory))
        elif options.action == "down":
            down(directory)
        elif options.action == "status":
            print(status(directory) or "nothing runs there")
        else:
            keep(directory)
    except (RunbookError, FileNotFoundError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
