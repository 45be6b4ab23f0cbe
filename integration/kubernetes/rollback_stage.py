"""What the stories of rollbacks play on: the flow through a real Prefect on a real API server; GitHub is played.

The product's account has the shipped role and nothing else. A story has a namespace, a repository and services, each
with a health endpoint that the test answers on loopback.
"""

import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from integration.kubernetes.cluster import Cluster, program
from integration.kubernetes.loopback_answers import Health
from runbook.engine.plans import StoredPlan
from runbook.engine.states import EffectState
from runbook.requests import Mode, RollbackImageRequest
from runbook.workloads import WorkloadKind
from sandbox.github.scenario import add_repository
from tests.deployments.processes import await_true
from tests.flows.theatre import Theatre, open_theatre

GOOD = "sha-1a2b3c4"
BAD = "sha-9f8e7d6"
"""Its pods start; whether it is well, its health endpoint says."""
NEWER = "sha-5555555"
"""Its pods start, too."""
UNPULLABLE = "sha-bad0bad"
"""Is never pulled: see stages.yaml."""
SECONDS = 60.0
"""How long a step of the cluster may take on a busy machine."""
SOAK_SECONDS = 2.0

_ROLE = Path(__file__).parents[2] / "deployments" / "kubernetes" / "rollback-image-rbac.yaml"
_SERVICE_PORT = 8000
_POLICY = """
[image_rollback]
poll_seconds = 0.3
log_poll_seconds = 0.5
rollout_timeout_seconds = 60
good_after_minutes = 0.001
gitops = "pause"
gitops_pause_minutes = 0.2
revert_within_minutes = 0.2
"""
_REVISION = re.compile(r"^(\d+)\s", re.MULTILINE)
_CAUSE = re.compile(r"^(\d+)\s+(.*\S)", re.MULTILINE)
_IMAGE = re.compile(r"^\s*Image:\s*(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Part:
    """One service of a story.

    Args:
        kind: Of its workload.
        spec: More of the workload's spec.
        labels: More of the workload's labels.
        annotations: More of the workload's annotations.
        release: The Helm release that it is; nothing but helm makes its workload then.
        ready_after: When its pods get ready: see stages.yaml.
        sidecar: Its pods have a second container.
        policy: More lines of the service's table in the policy.
    """

    kind: WorkloadKind = WorkloadKind.DEPLOYMENT
    spec: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    release: str = ""
    ready_after: str = ""
    sidecar: bool = False
    policy: str = ""

    def command_name(self, name: str) -> str:
        """Name the workload as kubectl does."""
        return f"{self.kind.value.lower()}/{name}"


RECREATED = Part(spec={"replicas": 2, "strategy": {"type": "Recreate"}})
"""While its new pods do not get ready, nothing answers for it."""


class Story:
    """One story's namespace, repository and services.

    Args:
        stage: What it plays on.
        name: Its name.
        namespace: Its namespace.
        parts: Its services, by name; they move together.
        health: By service: what answers for it.
    """

    def __init__(
        self,
        stage: "Stage",
        name: str,
        namespace: str,
        parts: Mapping[str, Part],
        health: Mapping[str, Health],
    ) -> None:
        self.stage, self.namespace, self.parts, self.health = stage, namespace, parts, health
        self.repository = f"acme/real-{name}"
        self._name = name
        self._cluster = stage.cluster

    def image(self, service: str, tag: str) -> str:
        """Name an image."""
        return f"ghcr.io/acme/{self._name}-{service}:{tag}"

    def policy(self) -> str:
        """Return what the policy says of the story."""
        tables = [f'[[repositories]]\nname = "{self.repository}"\n']
        for service, part in self.parts.items():
            others = json.dumps([other for other in self.parts if other != service])
            tables.append(
                f'[[services]]\nname = "{service}"\nrepository = "{self.repository}"\n'
                f'namespace = "{self.namespace}"\nimage = "ghcr.io/acme/{self._name}-{service}"\n'
                f'dockerfile = "Dockerfile"\nmoves_with = {others}\nsoak_seconds = {SOAK_SECONDS}\n'
                f'workload = "{part.kind.value}"\nport = {_SERVICE_PORT}\n'
                + (f'helm_release = "{part.release}"\n' if part.release else "")
                + part.policy
            )
        return "".join(tables)

    def on_github(self) -> dict[str, Any]:
        """Return what the stand-in for GitHub has of the story."""
        tags = (GOOD, BAD, UNPULLABLE)
        images = [self.image(service, tag).removeprefix("ghcr.io/") for service in self.parts for tag in tags]
        roles = {"runbook-bot": "write", "alice": "admin", "bob": "write"}
        return {"roles": roles, "labels": ["incident"], "images": images}

    def serve(self) -> None:
        """Make a Kubernetes Service of every service, behind which its health endpoint answers."""
        for service in self.parts:
            ports = [{"port": _SERVICE_PORT, "targetPort": self.health[service].port}]
            spec = {"selector": {"app": service}, "ports": ports}
            self._apply("v1", "Service", service, spec)

    def deploy(self, service: str, tag: str) -> None:
        """Apply a service's workload with an image; its change-cause is the tag."""
        part = self.parts[service]
        labels = {"app": service}
        containers = [{"name": service, "image": self.image(service, tag)}]
        if part.sidecar:
            containers.append({"name": "proxy", "image": "registry.example/proxy:1"})
        spec: dict[str, Any] = {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
            **part.spec,
        }
        if part.ready_after:
            spec["template"]["metadata"]["annotations"] = {"test/ready-after": part.ready_after}
        if part.kind is WorkloadKind.STATEFUL_SET:
            spec["serviceName"] = service
        annotations = {**part.annotations, "kubernetes.io/change-cause": f"deploy {tag}"}
        metadata = {"labels": dict(part.labels), "annotations": annotations}
        self._apply("apps/v1", part.kind.value, service, spec, **metadata)

    def deploy_all(self, tag: str) -> None:
        """Apply every service's workload with an image."""
        for service in self.parts:
            self.deploy(service, tag)

    def has_been_good(self) -> None:
        """Deploy the good images, await their rollouts, and let them be in service for a second."""
        since = time.monotonic()
        self.deploy_all(GOOD)
        for service in self.parts:
            self.rollout_status(service)
        # The cluster's times are whole seconds: the next revision's must be a later one.
        await_true(lambda: time.monotonic() - since > 1.1, deadline_seconds=SECONDS, what="a second")

    def is_bad(self) -> None:
        """Deploy images whose pods start, and await their rollouts."""
        self.deploy_all(BAD)
        for service in self.parts:
            self.rollout_status(service)

    def rollout_status(self, service: str) -> str:
        """Return what ``kubectl rollout status`` says in the end; it fails where the rollout does."""
        what = self.parts[service].command_name(service)
        return self.kubectl("rollout", "status", what, f"--timeout={SECONDS:.0f}s").splitlines()[-1]

    def history(self, service: str) -> dict[int, str]:
        """Return the image of each revision that ``kubectl rollout history`` shows."""
        line = ("rollout", "history", self.parts[service].command_name(service))
        found = {}
        for number in _REVISION.findall(self.kubectl(*line)):
            image = _IMAGE.search(self.kubectl(*line, f"--revision={number}"))
            assert image is not None
            found[int(number)] = image[1]
        return found

    def change_causes(self, service: str) -> dict[int, str]:
        """Return the change-cause of each revision that ``kubectl rollout history`` shows."""
        shown = self.kubectl("rollout", "history", self.parts[service].command_name(service))
        return {int(number): cause for number, cause in _CAUSE.findall(shown)}

    def running(self, service: str) -> str:
        """Return the image that a service's template names."""
        path = "jsonpath={.spec.template.spec.containers[0].image}"
        return self.kubectl("get", self.parts[service].command_name(service), "-o", path)

    def await_pods(self, service: str, reason: str) -> None:
        """Await a pod of a service that waits for this reason, and that the controller noted its revision."""
        path = "jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}"
        await_true(
            lambda: reason in self.kubectl("get", "pods", "-l", f"app={service}", "-o", path),
            deadline_seconds=SECONDS,
            what=f"a pod of {service} in {reason}",
        )

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the namespace as the administrator."""
        return self._cluster.kubectl("-n", self.namespace, *arguments)

    def start(self, **more: Any) -> str:
        """Ask for the story's first service to be rolled back; return the run's id."""
        request = RollbackImageRequest(
            repository=self.repository, mode=Mode.APPLY, services=(next(iter(self.parts)),), **more
        )
        return self.stage.theatre.start("rollback-image", request).id

    def end(self, run_id: str) -> str:
        """Await a run's end and return its state's name."""
        theatre = self.stage.theatre
        return theatre.until("the end", lambda: theatre.ended(run_id)).state

    def states(self, plan: StoredPlan) -> list[EffectState]:
        """Return where each effect of a plan stands."""
        return [entry.state for entry in self.stage.theatre.journal(plan)]

    def patches(self) -> list[str]:
        """Return the workloads whose templates the product changed, in turn, as the audit log has it."""
        return [
            call["objectRef"]["name"]
            for call in self._calls()
            if _is_patch(call) and call["responseStatus"]["code"] == 200
        ]

    def answers(self, service: str) -> list[int]:
        """Return what the API server answered to the product's writes to a workload, in turn."""
        writes = [call for call in self._calls() if _is_patch(call) and call["objectRef"]["name"] == service]
        return [call["responseStatus"]["code"] for call in writes]

    def denied(self) -> list[tuple[str, str, str]]:
        """Return what the product was forbidden: verb, resource, name."""
        return [
            (call["verb"], call["objectRef"]["resource"], call["objectRef"].get("name", ""))
            for call in self._calls()
            if call["responseStatus"]["code"] == 403
        ]

    def _calls(self) -> list[dict[str, Any]]:
        return self._cluster.calls(user=self.stage.user, namespace=self.namespace)

    def _apply(self, version: str, kind: str, name: str, spec: object, **metadata: object) -> None:
        named = {"name": name, "namespace": self.namespace, **metadata}
        self._cluster.apply({"apiVersion": version, "kind": kind, "metadata": named, "spec": spec})


class Stage:
    """Theatre and cluster together.

    Args:
        theatre: Prefect, worker, the played GitHub.
        cluster: The cluster.
        home: The namespace of the product's account.
        stack: Ends what stories begin.
    """

    def __init__(self, theatre: Theatre, cluster: Cluster, home: str, stack: ExitStack) -> None:
        self.theatre, self.cluster = theatre, cluster
        self.user = f"system:serviceaccount:{home}:runbook"
        self._home = home
        self._stack = stack

    def open(self, name: str, **parts: Part) -> Story:
        """Begin a story: its namespace with the shipped role, repository, policy, Kubernetes Services."""
        namespace = self._stack.enter_context(self.cluster.namespace(name))
        health = {service: self._stack.enter_context(Health().serving()) for service in parts}
        story = Story(self, name, namespace, parts, health)
        self.allow("runbook-rollback-image", namespace)
        add_repository(self.theatre.box.state, story.repository, story.on_github())
        with self.theatre.policy_file.open("a") as policy:
            policy.write(story.policy())
        story.serve()
        return story

    def namespace(self, prefix: str) -> str:
        """Make one more namespace."""
        return self._stack.enter_context(self.cluster.namespace(prefix))

    def allow(self, role: str, namespace: str) -> None:
        """Give the product's account one of the shipped roles in a namespace."""
        for document in _shipped():
            if document["metadata"]["name"] == role:
                document["metadata"]["namespace"] = namespace
                for subject in document.get("subjects", ()):
                    subject["namespace"] = self._home
                self.cluster.apply(document)


@contextlib.contextmanager
def open_stage(folder: Path, cluster: Cluster) -> Iterator[Stage]:
    """Start Prefect and a worker, whose account in the cluster may do nothing yet."""
    with ExitStack() as stack:
        home = stack.enter_context(cluster.namespace("runbook"))
        account = next(one for one in _shipped() if one["kind"] == "ServiceAccount")
        account["metadata"]["namespace"] = home
        cluster.apply(account)
        kubeconfig = cluster.service_account(home, account["metadata"]["name"])
        overrides = {"KUBECONFIG": str(kubeconfig), "RUNBOOK_HELM": str(program("helm"))}
        theatre = stack.enter_context(open_theatre(folder, overrides=overrides))
        with theatre.policy_file.open("a") as policy:
            policy.write(_POLICY)
        yield Stage(theatre, cluster, home, stack)


def _shipped() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(_ROLE.read_text(encoding="utf-8")))


def _is_patch(call: Mapping[str, Any]) -> bool:
    of = call["objectRef"]
    return call["verb"] == "patch" and of.get("apiGroup") == "apps" and not of.get("subresource")
