"""What GitHub and the registry say for a revision, and how images are barred."""

from datetime import UTC, datetime

import pytest

from runbook.decisions.revision_evidence import (
    bar_subject,
    barred_by,
    commit_behind,
    digests_of,
    green_sign,
    image_in,
    registry_sign,
)
from runbook.models import RegistryProbe, RegistryState, WorkflowRun
from runbook.policy import RepositoryPolicy
from runbook.source_facts import ContainerVersion
from runbook.workloads import ContainerImage, Pod, Template

DIGEST = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"
NOW = datetime(2026, 5, 4, tzinfo=UTC)
REPOSITORY = RepositoryPolicy.model_validate(
    {
        "name": "acme/app",
        "workflows": [{"file": "ci-test.yml"}, {"file": "docs.yml", "required": False}],
    }
)


def template(*images: str, source: str = "") -> Template:
    named = tuple(ContainerImage(container=f"c{place}", image=one) for place, one in enumerate(images))
    return Template(digest="d", images=named, source=source)


def version(digest: str, *tags: str) -> ContainerVersion:
    return ContainerVersion(id=1, digest=digest, tags=tags, created_at=NOW)


def run(number: int, conclusion: str | None, file: str = "ci-test.yml") -> WorkflowRun:
    return WorkflowRun(
        repository="acme/app",
        id=number,
        run_attempt=1,
        name=file,
        display_title="t",
        path=f".github/workflows/{file}",
        workflow_id=1,
        event="push",
        status="completed" if conclusion else "in_progress",
        conclusion=conclusion,
        head_branch="main",
        head_sha="0" * 40,
        actor="alice",
        triggering_actor="alice",
        html_url=f"https://github.com/acme/app/actions/runs/{number}",
        created_at=NOW,
        run_started_at=NOW,
        updated_at=NOW,
        pull_requests=(),
    )


def test_the_container_of_the_service_s_own_repository_counts_else_the_first() -> None:
    both = template("envoy:1", "ghcr.io/acme/tts:v2")
    assert image_in(both, "ghcr.io/acme/tts") == "ghcr.io/acme/tts:v2"
    assert image_in(both, "ghcr.io/acme/other") == "envoy:1"
    assert image_in(template(), "ghcr.io/acme/tts") == ""


@pytest.mark.parametrize(
    ("found", "image", "versions", "commit"),
    [
        (template(source="1a2b3c4d"), "ghcr.io/acme/tts:v2", (), "1a2b3c4d"),
        (template(), "ghcr.io/acme/tts:sha-1a2b3c4", (), "1a2b3c4"),
        (template(), "ghcr.io/acme/tts:v2", (version(DIGEST, "v2", "sha-1a2b3c4"),), "1a2b3c4"),
        (template(), f"ghcr.io/acme/tts@{DIGEST}", (version(DIGEST, "main-1a2b3c4"),), "1a2b3c4"),
        (template(), f"ghcr.io/acme/tts@{DIGEST}", (version(OTHER, "sha-1a2b3c4"),), ""),
        (template(source="a" * 40), "ghcr.io/acme/tts:v2", (), "a" * 40),
        # A chart may note the name of a branch there, which is another commit tomorrow; or anything at all.
        (template(source="main"), "ghcr.io/acme/tts:sha-1a2b3c4", (), "1a2b3c4"),
        (
            template(source="refs/heads/main"),
            "ghcr.io/acme/tts:v2",
            (version(DIGEST, "v2", "sha-1a2b3c4"),),
            "1a2b3c4",
        ),
        (template(source="main"), "ghcr.io/acme/tts:v2", (), ""),
        (template(source="abc123"), "ghcr.io/acme/tts:v2", (), ""),
        (template(source="../../x"), "ghcr.io/acme/tts:v2", (), ""),
        (template(source="1a2b3c4\n"), "ghcr.io/acme/tts:v2", (), ""),
        (template(source="a" * 41), "ghcr.io/acme/tts:v2", (), ""),
        (template(), "ghcr.io/acme/tts:v2", (), ""),
        (template(), "no image; rm -rf /", (), ""),
    ],
)
def test_the_commit_is_what_the_template_the_tag_or_a_tag_of_the_same_image_tells(
    found: Template, image: str, versions: tuple[ContainerVersion, ...], commit: str
) -> None:
    assert commit_behind(found, image, versions) == commit


@pytest.mark.parametrize(
    ("runs", "holds"),
    [
        ((), None),
        ((run(1, "failure", "docs.yml"),), None),
        ((run(1, "success"),), True),
        ((run(1, "failure"), run(2, "success")), True),
        ((run(1, "success"), run(2, "failure")), False),
        ((run(1, None),), False),
        ((run(1, "success"), run(2, "failure", "other.yml")), False),
    ],
)
def test_green_is_the_newest_run_of_each_required_workflow(
    runs: tuple[WorkflowRun, ...], holds: bool | None
) -> None:
    assert green_sign(runs, REPOSITORY).holds is holds


@pytest.mark.parametrize(
    ("state", "holds"),
    [
        (RegistryState.READABLE, True),
        (RegistryState.IMAGE_MISSING, False),
        (RegistryState.UNREACHABLE, None),
        (RegistryState.LOGIN_REFUSED, None),
        (RegistryState.RATE_LIMITED, None),
    ],
)
def test_only_a_clear_answer_of_the_registry_counts(state: RegistryState, holds: bool | None) -> None:
    probe = RegistryProbe(
        registry="ghcr.io", image="acme/tts", tag="v2", state=state, reason="r", retry_after_seconds=None
    )
    assert registry_sign(probe).holds is holds


@pytest.mark.parametrize(
    ("image", "digest", "barred"),
    [
        ("ghcr.io/acme/tts:v2", DIGEST, True),
        (f"ghcr.io/acme/tts@{DIGEST}", "", True),
        (f"ghcr.io/acme/tts:v3@{DIGEST}", OTHER, True),
        ("ghcr.io/acme/tts:v9", "", True),
        ("ghcr.io/acme/tts:v2", OTHER, False),
        ("ghcr.io/acme/tts:v2", "", False),
        ("ghcr.io/acme/agent:v2", DIGEST, False),
    ],
)
def test_an_image_is_barred_by_its_digest_whatever_its_tag_or_by_the_tag_that_was_barred(
    image: str, digest: str, barred: bool
) -> None:
    bars = (f"ghcr.io/acme/tts@{DIGEST}", "ghcr.io/acme/tts:v9")
    assert bool(barred_by(image, digest, bars)) is barred


@pytest.mark.parametrize(
    ("image", "digest", "subject"),
    [
        ("ghcr.io/acme/tts:v2", DIGEST, f"ghcr.io/acme/tts@{DIGEST}"),
        (f"ghcr.io/acme/tts:v2@{DIGEST}", OTHER, f"ghcr.io/acme/tts@{DIGEST}"),
        ("ghcr.io/acme/tts:v2", "", "ghcr.io/acme/tts:v2"),
        ("tts", "", "docker.io/library/tts:latest"),
    ],
)
def test_a_bar_names_the_digest_and_what_it_names_it_bars(image: str, digest: str, subject: str) -> None:
    assert bar_subject(image, digest) == subject
    assert barred_by(image, digest, (subject,)) == subject


def pod(name: str, *images: str, digests: tuple[str, ...]) -> Pod:
    named = tuple(ContainerImage(container=f"c{place}", image=one) for place, one in enumerate(images))
    return Pod(
        name=name,
        ready=bool(digests),
        restarts=0,
        images=named,
        image_digests=digests,
    )


def test_a_bad_image_that_never_started_is_not_barred_by_the_digest_of_the_good_one_that_still_serves() -> (
    None
):
    pods = [
        pod("old", "ghcr.io/acme/tts:good", digests=(DIGEST,)),
        pod("new", "ghcr.io/acme/tts:bad", digests=()),
        pod("meshed", "ghcr.io/acme/tts:bad", "envoy:1", digests=(OTHER,)),
    ]
    assert digests_of("ghcr.io/acme/tts:bad", pods) == frozenset()
    assert digests_of("ghcr.io/acme/tts:good", pods) == {DIGEST}
