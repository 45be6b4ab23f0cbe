"""What speaks for a revision, from what GitHub and the registry say of its commit and its image."""

import re
from collections.abc import Sequence

from runbook.decisions.image_reference import commit_of, parse_image, same_repository
from runbook.decisions.last_known_good import Sign
from runbook.models import Frozen, RegistryProbe, RegistryState, WorkflowRun
from runbook.policy import RepositoryPolicy
from runbook.source_facts import ContainerVersion
from runbook.workloads import Pod, Template


class Evidence(Frozen):
    """What is known of one revision's origin.

    Args:
        commit: The commit that its image was built from, in full or shortened; empty where nobody knows.
        digest: Its image's digest, ``sha256:…``; empty where nobody knows.
        green_run: Whether its commit is green on the default branch.
        deployed: Whether GitHub has a successful deployment of its commit.
        in_registry: Whether the registry still has its image.
    """

    commit: str = ""
    digest: str = ""
    green_run: Sign = Sign()
    deployed: Sign = Sign()
    in_registry: Sign = Sign()


_SHA = re.compile(r"[0-9a-f]{7,40}")
NO_COMMIT = Sign(detail="nobody knows its commit: no tag of the image is made of one")


def image_in(template: Template, image: str) -> str:
    """Return the reference in a template that lies in a service's repository of images; else the first one.

    Args:
        template: The revision's.
        image: The service's image, without tag.
    """
    named = [one.image for one in template.images]
    return next((one for one in named if same_repository(one, image)), named[0] if named else "")


def commit_behind(template: Template, image: str, versions: Sequence[ContainerVersion]) -> str:
    """Return the commit that a revision's image was built from, as far as its names tell; empty otherwise.

    Args:
        template: The revision's; its own note of the commit counts first, if it is one: whoever writes a template may
            note the name of a branch there, whose commit changes.
        image: The reference of the image that counts.
        versions: What the registry has of that image.
    """
    if _SHA.fullmatch(template.source):
        return template.source
    reference = parse_image(image)
    if reference is None:
        return ""
    tags = [reference.tag] if reference.tag else []
    for version in versions:
        if version.digest == reference.digest or (reference.tag and reference.tag in version.tags):
            tags += version.tags
    return next((commit for commit in map(commit_of, tags) if commit), "")


def green_sign(runs: Sequence[WorkflowRun], repository: RepositoryPolicy) -> Sign:
    """Say whether a commit is green on the default branch: the newest run of each required workflow.

    Args:
        runs: Runs of that commit on that branch, in any order.
        repository: Which workflows are required.
    """
    newest: dict[str, WorkflowRun] = {}
    for run in sorted(runs, key=lambda one: one.id):
        if repository.workflow(run.workflow_file).required:
            newest[run.workflow_file] = run
    if not newest:
        return Sign(detail=f"no required workflow ran for it on {repository.default_branch}")
    red = [run for run in newest.values() if run.conclusion != "success"]
    if red:
        said = red[0].conclusion or red[0].status
        return Sign(holds=False, detail=f"{red[0].workflow_file} is {said}")
    names = ", ".join(sorted(newest))
    return Sign(holds=True, detail=f"green: {names}")


def registry_sign(probe: RegistryProbe) -> Sign:
    """Say whether the registry still has an image."""
    if probe.state is RegistryState.READABLE:
        return Sign(holds=True, detail="in the registry")
    if probe.state is RegistryState.IMAGE_MISSING:
        return Sign(holds=False, detail="no longer in the registry")
    return Sign(detail=probe.reason)


def barred_by(image: str, digest: str, barred: Sequence[str]) -> str:
    """Say which bar an image falls under; empty where it falls under none.

    Args:
        image: Its reference.
        digest: Its digest, where that is known beside the reference.
        barred: Subjects of the bars in force: ``name@sha256:…``, or ``name:tag`` where no digest was known.
    """
    reference = parse_image(image)
    if reference is None:
        return image if image in barred else ""
    known = reference.digest or digest
    names = {f"{reference.name}@{known}"} if known else set()
    if reference.tag:
        names.add(f"{reference.name}:{reference.tag}")
    return next((subject for subject in barred if subject in names), "")


def bar_subject(image: str, digest: str) -> str:
    """Name an image as a bar does: by its digest; by its tag where nobody knows that.

    Args:
        image: Its reference.
        digest: Its digest, where that is known beside the reference.
    """
    reference = parse_image(image)
    if reference is None:
        return image
    known = reference.digest or digest
    return f"{reference.name}@{known}" if known else f"{reference.name}:{reference.tag}"


def digests_of(image: str, pods: Sequence[Pod]) -> frozenset[str]:
    """Return the digests that an image runs as, by the pods that certainly run it.

    While a bad image cannot be pulled, the pods of the good one still serve beside it; and a pod of several
    containers does not tell whose digest is which.

    Args:
        image: Its reference, as a pod template gives it.
        pods: A service's pods, whatever they run.
    """
    running = (pod.image_digests for pod in pods if [one.image for one in pod.images] == [image])
    return frozenset(digest for digests in running for digest in digests)
