"""The processes of one cluster of our own: what each is told, and when it counts as started.

Each runs under `deployments.guardian`, so that none outlives the process that started it, even if that is killed.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

from deployments.children import Child
from deployments.ports import LOOPBACK
from integration.kubernetes.certificates import Authority, write_kubeconfig
from runbook.errors import Transient

# Their versions are setup.sh's.
ETCD = "etcd-v3.6.16"
API_SERVER = "kube-apiserver-1.36.3"
CONTROLLER_MANAGER = "kube-controller-manager-1.36.3"
SCHEDULER = "kube-scheduler-1.36.3"
KUBECTL = "kubectl-1.36.3"
KWOK = "kwok-v0.7.0"
SETUP = "bash integration/kubernetes/setup.sh"

_HERE = Path(__file__).parent
_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.1
_ANSWER_SECONDS = 20.0
# It takes 8 s on an idle machine with two cores.
_START_SECONDS = 180.0
_CAPACITY = {"cpu": "64", "memory": "256Gi", "pods": "500"}


def program(name: str) -> Path:
    """Return a program that ``setup.sh`` built.

    Args:
        name: ``kubectl``, ``helm``, or one with its version.

    Raises:
        FileNotFoundError: It is not there; says what to run.
    """
    cache = os.environ.get("RUNBOOK_CACHE") or Path.home() / ".cache" / "runbook"
    found = Path(cache) / "bin" / name
    if not found.exists():
        raise FileNotFoundError(f"{found} is missing. Nothing was started. Run: {SETUP}")
    return found


class ControlPlane:
    """One cluster's files and processes.

    Args:
        directory: Where all of its state goes; an empty or new one.
        children: Ends what was started, last first.
    """

    def __init__(self, directory: Path, children: ExitStack) -> None:
        self.directory = directory
        self.kubeconfig = directory / "kubeconfig"
        self.audit_log = directory / "audit.log"
        self.container_log = directory / "container.log"
        self.running: list[Child] = []
        self._stack = children
        self._deadline = time.monotonic() + _START_SECONDS
        for name in ("log", "etcd", "tmp"):
            (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._etcd_port, self._etcd_peer_port, self._port, self._kwok_port = _free_ports(4)
        self.server = f"https://{LOOPBACK}:{self._port}"
        self.authority = Authority(directory / "pki")

    def start(self) -> None:
        """Start everything; return when pods can be made.

        Raises:
            ChildDied: A process ended; with the end of its log.
            Transient: It took too long; with the end of each log.
        """
        self._write_user(self.kubeconfig, "admin", groups=("system:masters",))
        for name in ("system:kube-controller-manager", "system:kube-scheduler"):
            self._write_user(self._kubeconfig_of(name), name)
        self._write_user(self._kubeconfig_of("kwok"), "kwok", groups=("system:masters",))
        self._start_api_server()
        self._start_controllers()
        self._start_kwok()
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(_NODE))
        self._await("the node", lambda: self.kubectl("get", "node", "-o", _NODE_STATE) == "True/")
        self._await("the default service account", lambda: self.kubectl("get", "serviceaccount", "default"))

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """Run kubectl as the administrator and return what it printed."""
        return run_kubectl(self.kubeconfig, *arguments, stdin=stdin)

    def check(self) -> None:
        """Raise where one of the processes ended.

        Raises:
            ChildDied: Which one, with the end of its log.
        """
        for child in self.running:
            child.check()

    def _start_api_server(self) -> None:
        serving, serving_key = self.authority.serving(
            "kube-apiserver",
            addresses=(LOOPBACK, "10.96.0.1"),
            names=("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"),
        )
        public, private = self.authority.service_account_keys()
        self._account_key = private
        client, peer = (f"http://{LOOPBACK}:{port}" for port in (self._etcd_port, self._etcd_peer_port))
        self._run(
            program(ETCD),
            *("--name=test", f"--data-dir={self.directory / 'etcd'}", "--unsafe-no-fsync"),
            *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}"),
            f"--initial-cluster=test={peer}",
        )
        self._run(
            program(API_SERVER),
            *(f"--etcd-servers={client}", f"--bind-address={LOOPBACK}", f"--secure-port={self._port}"),
            *(f"--advertise-address={LOOPBACK}", "--endpoint-reconciler-type=none"),
            *(f"--tls-cert-file={serving}", f"--tls-private-key-file={serving_key}"),
            *(f"--client-ca-file={self.authority.certificate_file}", "--authorization-mode=RBAC"),
            "--service-account-issuer=https://kubernetes.default.svc",
            *(f"--service-account-key-file={public}", f"--service-account-signing-key-file={private}"),
            *("--service-cluster-ip-range=10.96.0.0/16", "--profiling=false"),
            *(f"--audit-policy-file={_HERE / 'audit.yaml'}", f"--audit-log-path={self.audit_log}"),
            f"--egress-selector-config-file={self._egress()}",
        )
        self._await("the API server", lambda: self.kubectl("get", "--raw", "/readyz"))

    def _egress(self) -> Path:
        """Start the way to pods and nodes; return the file that tells the API server of it."""
        egress = self._run(Path(sys.executable), "-I", "-S", str(_HERE / "egress.py"), name="egress")
        line = egress.await_line(
            lambda said: said.startswith("listening on "), deadline_seconds=_ANSWER_SECONDS
        )
        transport = {"uds": {"udsName": line.rpartition(" ")[2]}}
        connection = {"proxyProtocol": "HTTPConnect", "transport": transport}
        content = {
            "apiVersion": "apiserver.k8s.io/v1beta1",
            "kind": "EgressSelectorConfiguration",
            "egressSelections": [{"name": "cluster", "connection": connection}],
        }
        file = self.directory / "egress.yaml"
        file.write_text(yaml.safe_dump(content))
        return file

    def _start_controllers(self) -> None:
        self._run(
            program(CONTROLLER_MANAGER),
            f"--kubeconfig={self._kubeconfig_of('system:kube-controller-manager')}",
            # With RBAC its controllers have accounts of their own.
            *("--leader-elect=false", "--secure-port=0", "--use-service-account-credentials=true"),
            f"--service-account-private-key-file={self._account_key}",
            *(f"--root-ca-file={self.authority.certificate_file}", "--profiling=false"),
        )
        self._run(
            program(SCHEDULER),
            f"--kubeconfig={self._kubeconfig_of('system:kube-scheduler')}",
            *("--leader-elect=false", "--secure-port=0", "--profiling=false"),
        )

    def _start_kwok(self) -> None:
        self.container_log.touch()
        config = self.directory / "kwok.yaml"
        logs = {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "ClusterLogs",
            "metadata": {"name": "every-container"},
            "spec": {"logs": [{"logsFile": str(self.container_log)}]},
        }
        config.write_text(f"{(_HERE / 'stages.yaml').read_text()}---\n{yaml.safe_dump(logs)}")
        self._run(
            program(KWOK),
            *(f"--kubeconfig={self._kubeconfig_of('kwok')}", f"--config={config}", "--manage-all-nodes=true"),
            # Its default is no lease but a beat in 55 s, after which the node counts as lost now and then.
            "--node-lease-duration-seconds=40",
            *(f"--node-ip={LOOPBACK}", f"--node-port={self._kwok_port}"),
            f"--server-address={LOOPBACK}:{self._kwok_port}",
        )

    def _write_user(self, file: Path, user: str, *, groups: tuple[str, ...] = ()) -> None:
        write_kubeconfig(
            file,
            server=self.server,
            authority=self.authority.certificate_file.read_bytes(),
            user=self.authority.client(user, groups=groups),
        )

    def _kubeconfig_of(self, user: str) -> Path:
        return self.directory / "pki" / f"{user.rpartition(':')[2]}.kubeconfig"

    def _run(self, executable: Path, *arguments: str, name: str = "") -> Child:
        child = Child(
            name or executable.name,
            [str(executable), *arguments],
            environment={
                "PATH": os.defpath,
                "HOME": str(self.directory),
                "TMPDIR": str(self.directory / "tmp"),
            },
            directory=self.directory / "log",
            grace_seconds=_GRACE_SECONDS,
        )
        self._stack.callback(child.stop)
        self.running.append(child)
        return child

    def _await(self, what: str, answers: Callable[[], object]) -> None:
        while True:
            self.check()
            try:
                if answers():
                    return
                said = "not yet"
            except subprocess.CalledProcessError as error:
                said = error.stderr
            if time.monotonic() > self._deadline:
                ends = "\n".join(f"{child.name}:\n{child.tail()}" for child in self.running)
                raise Transient(
                    f"The cluster was not up within {_START_SECONDS:.0f} s; it waited for {what}: {said}\n{ends}\n",
                    next_step=f"read the files in {self.directory / 'log'}; on a busy machine, try again.",
                )
            time.sleep(_POLL_SECONDS)


@contextmanager
def control_plane(directory: Path) -> Iterator[ControlPlane]:
    """Run a cluster with all its state in ``directory``; it ends with the block, or with this process.

    Raises:
        ChildDied: A process ended while starting.
        Transient: It took too long.
        FileNotFoundError: A program was not built.
    """
    with ExitStack() as children:
        plane = ControlPlane(directory.absolute(), children)
        plane.start()
        yield plane


def run_kubectl(kubeconfig: Path, *arguments: str, stdin: str = "") -> str:
    """Run kubectl and return what it printed.

    Raises:
        subprocess.CalledProcessError: It failed; ``stderr`` says why.
    """
    done = subprocess.run(
        [str(program(KUBECTL)), f"--kubeconfig={kubeconfig}", *arguments],
        input=stdin,
        text=True,
        capture_output=True,
        check=True,
        env={"PATH": os.defpath, "HOME": str(kubeconfig.parent)},  # where it keeps what it discovered
    )
    return done.stdout


_NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": "kwok-0",
        "annotations": {"kwok.x-k8s.io/node": "fake", "node.alpha.kubernetes.io/ttl": "0"},
        "labels": {
            "type": "kwok",
            "kubernetes.io/hostname": "kwok-0",
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
        },
    },
    "status": {"allocatable": _CAPACITY, "capacity": _CAPACITY},
}
# Ready, and no taint left that would keep pods away.
_NODE_STATE = "jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}/{.items[*].spec.taints}"


def _free_ports(count: int) -> list[int]:
    """Return different ports that nobody listens on at this moment."""
    with ExitStack() as probes:
        found = []
        for _ in range(count):
            probe = probes.enter_context(socket.socket())
            probe.bind((LOOPBACK, 0))
            found.append(probe.getsockname()[1])
        return found
