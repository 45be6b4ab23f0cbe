"""Facts about what runs in Kubernetes, as the client reads them and decisions take them.

A pod template can hold a secret's value in plain sight (an environment variable), so templates never leave the
client: a fact carries a template's digest, images and the names it refers to (R8).
"""

from datetime import datetime
from enum import StrEnum

from runbook.models import Frozen


class WorkloadKind(StrEnum):
    """A controller of pods whose revisions Kubernetes keeps."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    DAEMON_SET = "DaemonSet"


class WorkloadRef(Frozen):
    """Names one workload."""

    kind: WorkloadKind
    namespace: str
    name: str

    @property
    def command_name(self) -> str:
        """Name it as kubectl's command line does: ``deployment/tts-service``."""
        return f"{self.kind.lower()}/{self.name}"

    def __str__(self) -> str:
        return f"{self.command_name} in {self.namespace}"


class ContainerImage(Frozen):
    """One container of a pod template and the image it names."""

    container: str
    image: str


class Template(Frozen):
    """What may be known of a pod template.

    Args:
        digest: SHA-256 (hex) of its canonical JSON without the ``pod-template-hash`` label.
        images: Its containers' images, init containers' too.
        config_maps: Names of the config maps it refers to, sorted.
        secrets: Names of the secrets it refers to, sorted.
        source: Its ``org.opencontainers.image.revision`` annotation (a commit), if it carries one.
    """

    digest: str
    images: tuple[ContainerImage, ...]
    config_maps: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    source: str = ""


class Revision(Frozen):
    """One revision that Kubernetes keeps: a ReplicaSet or ControllerRevision that the workload owns.

    Args:
        number: Its revision number now. A ReplicaSet that is rolled back to gets a new number: ``name`` stays.
        name: The object's name.
        created_at: When it was first made.
        change_cause: Its ``kubernetes.io/change-cause``, neutralised; may be empty.
        template: Its pod template.
        earlier_numbers: Numbers that it had before it was rolled back to, as far as Kubernetes notes them (a
            ReplicaSet's ``deployment.kubernetes.io/revision-history``; a ControllerRevision has no such note).
    """

    number: int
    name: str
    created_at: datetime
    change_cause: str
    template: Template
    earlier_numbers: tuple[int, ...] = ()

    @property
    def first_number(self) -> int:
        """The number that it was made with, as far as it is noted."""
        return min((self.number, *self.earlier_numbers))


class Condition(Frozen):
    """A workload's own words about itself."""

    type: str
    status: str
    reason: str
    message: str
    updated_at: datetime | None


class Workload(Frozen):
    """One workload as it stands.

    Args:
        ref: Which.
        uid: Told apart from one of the same name that was made anew.
        resource_version: Guards a write against what came in between.
        generation: Counts changes of what is wanted.
        observed_generation: The last one its controller has looked at.
        revision: The number of the revision that it is at; None before its controller noted one.
        template: Its pod template.
        wanted: Pods wanted. For a DaemonSet: nodes that should run one.
        replicas: Pods there are, old ones included.
        updated: Of them, of the current template.
        available: Of them, ready for long enough.
        ready: Of them, ready.
        paused: A person paused its rollouts.
        partition: A StatefulSet's rolling update goes down to this ordinal; 0 for all.
        on_delete: Its pods are only replaced when somebody deletes them.
        parallel: A StatefulSet's pods need not be ready in their order: a broken one is replaced at any time.
        update_revision: A StatefulSet's ``status.updateRevision``; empty elsewhere.
        conditions: Its conditions.
        selector: Its label selector as a string, for listing its pods.
        labels: Its labels.
        annotations: Its annotations without ``last-applied-configuration`` (which holds the template).
        managers: Names of its field managers.
    """

    ref: WorkloadRef
    uid: str
    resource_version: str
    generation: int
    observed_generation: int
    revision: int | None
    template: Template
    wanted: int
    replicas: int
    updated: int
    available: int
    ready: int
    paused: bool = False
    partition: int = 0
    on_delete: bool = False
    parallel: bool = False
    update_revision: str = ""
    conditions: tuple[Condition, ...] = ()
    selector: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    managers: tuple[str, ...] = ()


class Pod(Frozen):
    """One pod.

    Args:
        name: Its name.
        ready: Whether it takes traffic.
        restarts: How often its containers were started again, in all.
        reasons: Why containers wait or ended, with the container's name: ``app: ImagePullBackOff``.
        images: What its containers were told to run.
        image_digests: ``sha256:…`` that they run, as far as the node says.
        terminating: It is being deleted.
        revision: Name of the ControllerRevision that a StatefulSet made it of; empty elsewhere.
    """

    name: str
    ready: bool
    restarts: int
    reasons: tuple[str, ...] = ()
    images: tuple[ContainerImage, ...] = ()
    image_digests: tuple[str, ...] = ()
    terminating: bool = False
    revision: str = ""


class Autoscaler(Frozen):
    """A HorizontalPodAutoscaler of a workload."""

    name: str
    minimum: int
    maximum: int
    current: int
    desired: int


class HelmRevision(Frozen):
    """One line of a Helm release's history.

    Args:
        revision: Its number.
        updated_at: When.
        status: Helm's word: ``deployed``, ``superseded``, ``failed``, ``pending-upgrade``, …
        chart: ``name-version``.
        app_version: The chart's app version.
        description: Helm's sentence, neutralised.
    """

    revision: int
    updated_at: datetime
    status: str
    chart: str
    app_version: str
    description: str

    @property
    def pending(self) -> bool:
        """An operation on it was begun and has not ended."""
        return self.status.startswith("pending-")


class ReleaseManifest(Frozen):
    """What may be known of the manifest of one revision of a Helm release.

    Args:
        digest: SHA-256 (hex) of its text. A rollback copies a manifest to the letter, so revisions that hold the
            same have the same digest.
        images: Images that its containers name, init containers' too, each once.
        workloads: Its Deployments, StatefulSets and DaemonSets.
    """

    digest: str
    images: tuple[str, ...]
    workloads: tuple[WorkloadRef, ...]
