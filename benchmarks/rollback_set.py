"""Rolling a set of services back on a real API server: calls made and time, beside one kubectl after another.

Run as ``python -m benchmarks.rollback_set [--services N] [--ready-seconds S] [--json]``, after
``bash integration/kubernetes/setup.sh``. Every service is rolled out at a bad image; kwok plays the pods, which take a
moment to become ready. The product plans, asks each effect's
precondition as its gate does, applies the plan through the engine and its journal, and watches all rollouts together.
By hand it is ``kubectl rollout undo`` and ``kubectl rollout status`` of one service after another. Both run on one
cluster, each in a namespace of its own; calls are counted in the API server's audit log.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from integration.kubernetes.cluster import Cluster, program, shared_cluster
from integration.kubernetes.control_plane import API_SERVER, run_kubectl
from runbook.clients.github_client import GitHubClient
from runbook.clients.helm_client import HelmClient
from runbook.clients.kubernetes_client import KubernetesClient
from runbook.clock import SystemClock
from runbook.decisions.last_known_good import current_of
from runbook.decisions.rollout import RolloutState, judge_rollout, progressing_since
from runbook.effects.workloads import RollBackWorkload
from runbook.engine.effects import Effect
from runbook.engine.engine import Ended, Engine, Verification
from runbook.engine.executions import Requester
from runbook.engine.leases import Lease
from runbook.engine.ledger import Ledger
from runbook.engine.plan import Plan, PlanView
from runbook.engine.plans import StoredPlan
from runbook.engine.schema import PlanRow
from runbook.engine.states import PlanState, RequesterKind
from runbook.errors import RunbookError
from runbook.policy.estate import ImageRollback
from runbook.policy.operations import Timings
from runbook.workloads import WorkloadKind
from runbook.world import World

PROCEDURE = "rollback-image"
REPOSITORY = "acme/voice-agent"
GOOD_IMAGE = "registry.example/service:1.0"
# Its pods become ready, as those of most bad versions do: of the good one none is left.
BAD_IMAGE = "registry.example/service:2.0"
WRITES = frozenset({"create", "update", "patch", "delete"})

READY_SECONDS = 2.0

_EXECUTION = "rollback"
_SETUP_SECONDS = 300


@dataclass(frozen=True)
class Measured:
    """What a rollback took, by the API server's audit log and this machine's clock.

    Args:
        calls: Requests to the API server.
        writes: Of them, writes.
        seconds: From the first call until every rollout was complete.
        left: Services that were not at the good image, or not rolled out, at the end.
    """

    calls: int
    writes: int
    seconds: float
    left: int


@dataclass(frozen=True)
class Comparison:
    """The product beside kubectl, on as many services each."""

    services: int
    ours: Measured
    by_hand: Measured

    @property
    def ratios(self) -> dict[str, float]:
        """What the speed claim rests on."""
        return {
            "seconds_by_hand_to_ours": self.by_hand.seconds / self.ours.seconds,
            "calls_by_hand_to_ours": self.by_hand.calls / self.ours.calls,
            "calls_for_each_service": self.ours.calls / self.services,
            "writes_for_each_service": self.ours.writes / self.services,
            "services_left": float(self.ours.left),
        }


def is_built() -> bool:
    """Say whether the cluster's programs are here."""
    try:
        program(API_SERVER)
    except FileNotFoundError:
        return False
    return True


def names_of(services: int) -> list[str]:
    """Return the services' names."""
    return [f"service-{number:03}" for number in range(services)]


@contextmanager
def at_a_bad_image(cluster: Cluster, services: int, ready_seconds: float) -> Iterator[str]:
    """Make a namespace with so many services, each rolled out at a good image, then at a bad one."""
    with cluster.namespace("set") as namespace:
        cluster.apply(*(_deployment(namespace, name, ready_seconds) for name in names_of(services)))
        _await(cluster, namespace, "{.status.availableReplicas}=1")
        cluster.kubectl("-n", namespace, "set", "image", "deployment", "--all", f"app={BAD_IMAGE}")
        for condition in ("observedGeneration}=2", "updatedReplicas}=1", "replicas}=1"):
            _await(cluster, namespace, f"{{.status.{condition}")
        yield namespace


def product(cluster: Cluster, services: int, ready_seconds: float) -> Measured:
    """Roll them back as the procedure does."""
    with (
        at_a_bad_image(cluster, services, ready_seconds) as namespace,
        tempfile.TemporaryDirectory() as folder,
    ):
        user = f"runbook-{namespace}"
        kubeconfig = cluster.certificate(user, groups=("system:masters",))
        with _engine(kubeconfig, Path(folder)) as engine:
            started = time.perf_counter()
            _roll_back(engine, namespace)
            seconds = time.perf_counter() - started
        return _measured(cluster, namespace, user=user, seconds=seconds)


def by_hand(cluster: Cluster, services: int, ready_seconds: float) -> Measured:
    """Undo and await one after the other, as a person does."""
    with at_a_bad_image(cluster, services, ready_seconds) as namespace:
        user = f"person-{namespace}"
        kubeconfig = cluster.certificate(user, groups=("system:masters",))
        started = time.perf_counter()
        for name in names_of(services):
            for verb in ("undo", "status"):
                run_kubectl(kubeconfig, "-n", namespace, "rollout", verb, f"deployment/{name}")
        seconds = time.perf_counter() - started
        return _measured(cluster, namespace, user=user, seconds=seconds)


def measure(services: int, *, ready_seconds: float = READY_SECONDS) -> Comparison:
    """Roll that many services back in each way.

    Args:
        services: How many; the cluster's one node holds 500 pods, and each takes up to two, in both namespaces.
        ready_seconds: How long a pod takes to become ready; real ones take longer than the default.
    """
    with shared_cluster() as cluster:
        if not cluster.own:
            raise RunbookError(
                "Calls are counted in the audit log of a cluster of ours; RUNBOOK_TEST_KUBECONFIG names another.",
                unchanged="Nothing was measured.",
                next_step="unset it.",
            )
        return Comparison(
            services=services,
            ours=product(cluster, services, ready_seconds),
            by_hand=by_hand(cluster, services, ready_seconds),
        )


def _roll_back(engine: Engine, namespace: str) -> None:
    kubernetes = engine.world.kubernetes
    workloads = kubernetes.workloads(namespace, WorkloadKind.DEPLOYMENT)
    kept = kubernetes.revisions_of(workloads)
    effects: list[Effect] = []
    for workload in workloads:
        revisions = kept[workload.ref]
        before = current_of(workload, revisions)
        if before is None:
            raise RunbookError(f"{workload.ref} is at no revision that is kept.")
        after = next(one for one in revisions if one.name != before.name)
        effects.append(RollBackWorkload.of(workload, before=before, after=after))
    plan = _approved(engine, effects)
    for effect in effects:
        holds = effect.precondition(engine.world)
        if not holds.holds:
            raise RunbookError(holds.detail)
    since = {workload.ref: progressing_since(workload) for workload in workloads}

    def all_rolled_out(lease: Lease) -> Verification:
        while True:
            standing = [
                judge_rollout(workload, since=since[workload.ref])
                for workload in kubernetes.workloads(namespace, WorkloadKind.DEPLOYMENT)
            ]
            if failed := [one.detail for one in standing if one.state is RolloutState.FAILED]:
                return Verification(passed=False, reason="; ".join(failed))
            if all(one.state is RolloutState.COMPLETE for one in standing):
                return Verification(passed=True, reason="all rolled out")
            engine.keep(lease)
            engine.world.clock.sleep(ImageRollback().poll_seconds)

    outcome = engine.apply(plan, verify=all_rolled_out)
    if outcome.ended is not Ended.DONE:
        raise RunbookError(f"The set was not rolled back: {outcome.reason}")


@contextmanager
def _engine(kubeconfig: Path, folder: Path) -> Iterator[Engine]:
    clock = SystemClock()
    kubernetes = KubernetesClient(kubeconfig, clock=clock)
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}")
    # Nobody is asked on GitHub: approval is no part of what is measured.
    github = GitHubClient(token=SecretStr("none"), api_url="http://127.0.0.1:9", clock=clock)
    world = World(
        github=github, kubernetes=kubernetes, helm=HelmClient(None), product_login="runbook-bot", clock=clock
    )
    try:
        yield Engine(ledger, world=world, timings=Timings())
    finally:
        ledger.close()
        kubernetes.close()


def _approved(engine: Engine, effects: Sequence[Effect]) -> StoredPlan:
    engine.executions.begin(
        _EXECUTION,
        procedure=PROCEDURE,
        repository=REPOSITORY,
        subject="a set of services",
        request={},
        requester=Requester(RequesterKind.PERSON, "dave"),
    )
    view = PlanView(title="Roll back", why="measured", remedy="", blast_radius="", if_nobody_acts="")
    plan = engine.plans.store(
        _EXECUTION,
        Plan.of(procedure=PROCEDURE, repository=REPOSITORY, effects=list(effects)),
        view=view,
        expires_after_seconds=3600,
    )
    with engine.ledger.write() as session:
        session.get_one(PlanRow, plan.id).state = PlanState.APPLYING
    return engine.plans.get(plan.id)


def _measured(cluster: Cluster, namespace: str, *, user: str, seconds: float) -> Measured:
    calls = cluster.calls(user=user)
    found = json.loads(cluster.kubectl("-n", namespace, "get", "deployments", "-o", "json"))["items"]
    return Measured(
        calls=len(calls),
        writes=sum(call["verb"] in WRITES for call in calls),
        seconds=seconds,
        left=sum(not _is_back(deployment) for deployment in found),
    )


def _is_back(deployment: dict[str, Any]) -> bool:
    image = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    status = deployment["status"]
    return bool(image == GOOD_IMAGE and status["updatedReplicas"] == status["availableReplicas"] == 1)


def _await(cluster: Cluster, namespace: str, condition: str) -> None:
    cluster.kubectl(
        *("-n", namespace, "wait", "deployment", "--all"),
        *(f"--for=jsonpath={condition}", f"--timeout={_SETUP_SECONDS}s"),
    )


def _deployment(namespace: str, name: str, ready_seconds: float) -> dict[str, Any]:
    labels = {"app": name}
    metadata = {"labels": labels, "annotations": {"test/ready-after": f"{ready_seconds}s"}}
    containers = [{"name": "app", "image": GOOD_IMAGE}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": metadata, "spec": {"containers": containers}},
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--services", type=int, default=50)
    parser.add_argument("--ready-seconds", type=float, default=READY_SECONDS, help="of a pod (2)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure(options.services, ready_seconds=options.ready_seconds)
    rows = {"runbook": found.ours, "kubectl, one by one": found.by_hand}
    if options.json:
        print(json.dumps({"ratios": found.ratios, **{name: asdict(row) for name, row in rows.items()}}))
        return
    print(
        f"{found.services} services back to their last good image; a pod is ready in {options.ready_seconds} s"
    )
    print(f"{'':22}{'calls':>8}{'writes':>8}{'seconds':>9}{'left':>6}")
    for name, row in rows.items():
        print(f"{name:22}{row.calls:>8}{row.writes:>8}{row.seconds:>9.1f}{row.left:>6}")
    for name, ratio in found.ratios.items():
        print(f"{name.replace('_', ' ')}: {ratio:.2f}")


if __name__ == "__main__":
    main()
