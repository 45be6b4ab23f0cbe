"""The client of Helm: how its program is run, what becomes of its output, and what its words mean."""

import json
import os
import stat
import textwrap
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runbook.clients import helm_errors, helm_process
from runbook.clients.helm_client import HelmClient, HelmTimeouts
from runbook.clients.helm_process import Ran
from runbook.errors import (
    Ambiguous,
    Conflict,
    Denied,
    NotFound,
    Permanent,
    RunbookError,
    Transient,
    UsageError,
)
from runbook.scrub import register_secret
from runbook.workloads import WorkloadKind, WorkloadRef
from tests.deadline import until

QUICK = HelmTimeouts(read_seconds=10, rollback_seconds=10, end_grace_seconds=0.5)


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """A file that is there; no program of these tests reads it."""
    path = tmp_path / "kubeconfig"
    path.write_text("{}")
    return path


def helm(folder: Path, kubeconfig: Path | None, script: str, *, timeouts: HelmTimeouts = QUICK) -> HelmClient:
    """Return a client whose program is this shell script."""
    program = folder / "helm"
    program.write_text("#!/bin/sh\n" + textwrap.dedent(script))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return HelmClient(kubeconfig, program=str(program), timeouts=timeouts)


def prints(folder: Path, kubeconfig: Path, text: str) -> HelmClient:
    """Return a client whose program prints this."""
    (folder / "output").write_text(text)
    return helm(folder, kubeconfig, f"cat '{folder}/output'")


# --- how the program is run ------------------------------------------------------------------------------


def test_the_program_is_given_only_what_it_needs(
    tmp_path: Path, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GITHUB_TOKEN", "HELM_KUBETOKEN", "HELM_PLUGINS", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "canary-value")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    client = helm(tmp_path, Path("kubeconfig"), f"env > '{tmp_path}/seen'; echo '[]'")

    assert client.history("tts", "voice") == ()

    seen = dict(line.partition("=")[::2] for line in (tmp_path / "seen").read_text().splitlines())
    given = set(seen) - {"PWD", "SHLVL", "_", "OLDPWD"}  # the shell's own
    folders = {"KUBECACHEDIR", "HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"}
    assert given - {"SSL_CERT_FILE", "SSL_CERT_DIR"} - {
        name for name in given if name.lower().endswith("_proxy")
    } == {
        "PATH",
        "HOME",
        "KUBECONFIG",
        *folders,
    }
    assert "canary-value" not in seen.values()
    assert seen["KUBECONFIG"] == str(kubeconfig)
    assert seen["HOME"] == os.environ["HOME"]  # where a kubeconfig's login program finds what it logs in by
    own = Path(seen["HELM_DATA_HOME"]).parent
    assert {str(Path(seen[name]).parent) for name in folders} == {str(own)}
    assert not own.exists()


def test_its_folder_is_private_and_removed_though_the_program_fails(tmp_path: Path, kubeconfig: Path) -> None:
    script = f"""
        own=$(dirname "$HELM_DATA_HOME"); stat -c %a "$own" > '{tmp_path}/mode'
        echo "$own" > '{tmp_path}/home'; touch "$own/left"; exit 1
    """
    with pytest.raises(Permanent):
        helm(tmp_path, kubeconfig, script).history("tts", "voice")
    assert (tmp_path / "mode").read_text().strip() == "700"
    assert not Path((tmp_path / "home").read_text().strip()).exists()


def test_each_call_has_its_arguments_as_a_list_with_nothing_secret(tmp_path: Path, kubeconfig: Path) -> None:
    client = helm(tmp_path, kubeconfig, f"printf '%s\\n' \"$@\" > '{tmp_path}/seen'; echo '[]'")
    seen = tmp_path / "seen"
    client.history("tts", "voice")
    assert seen.read_text().split() == [
        *("history", "tts", "--namespace=voice", "--output=json", "--max=256")
    ]
    client.manifest("tts", "voice", 7)
    assert seen.read_text().split() == ["get", "manifest", "tts", "--namespace=voice", "--revision=7"]
    client.rollback("tts", "voice", 7)
    assert seen.read_text().split() == [
        *("rollback", "tts", "7", "--namespace=voice", "--history-max=0", "--timeout=10s")
    ]


@pytest.mark.parametrize(
    ("release", "namespace", "revision"),
    [
        *((name, "voice", 1) for name in ("", "--help", "Tts", "t_s", "a b", "x" * 54, "tts\n", "tts-")),
        *(("tts", name, 1) for name in ("", "-n", "voice/x", "Voice", "v.x")),
        *(("tts", "voice", number) for number in (0, -1)),  # helm reads 0 as "the one before"
    ],
)
def test_a_name_that_helm_would_misread_is_refused_before_it_runs(
    tmp_path: Path, kubeconfig: Path, release: str, namespace: str, revision: int
) -> None:
    client = helm(tmp_path, kubeconfig, f"touch '{tmp_path}/ran'")
    with pytest.raises(UsageError) as raised:
        client.rollback(release, namespace, revision)
    assert raised.value.unchanged == "Nothing was sent."
    assert not (tmp_path / "ran").exists()


def test_a_program_that_is_missing_names_its_setting(kubeconfig: Path) -> None:
    with pytest.raises(UsageError, match="cannot be run") as raised:
        HelmClient(kubeconfig, program="no-such-helm").history("tts", "voice")
    assert "RUNBOOK_HELM" in raised.value.next_step


def test_no_kubeconfig_is_refused_before_helm_asks_whoever_is_on_localhost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for kubeconfig in (None, tmp_path / "missing"):
        with pytest.raises(UsageError) as raised:
            helm(tmp_path, kubeconfig, f"touch '{tmp_path}/ran'").history("tts", "voice")
        assert "KUBECONFIG" in raised.value.next_step
    assert not (tmp_path / "ran").exists()


def test_in_a_pod_the_pods_account_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    client = helm(tmp_path, None, f"env > '{tmp_path}/seen'; echo '[]'")
    client.history("tts", "voice")
    seen = (tmp_path / "seen").read_text()
    assert "KUBERNETES_SERVICE_HOST=10.96.0.1" in seen
    assert "KUBECONFIG" not in seen


def test_one_of_several_kubeconfigs_is_enough(tmp_path: Path, kubeconfig: Path) -> None:
    both = Path(f"{tmp_path}/missing{os.pathsep}{kubeconfig}")
    assert helm(tmp_path, both, "echo '[]'").history("tts", "voice") == ()


def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path: Path, kubeconfig: Path) -> None:
    script = f"""
        trap '' TERM
        sleep 600 &
        echo $$ $! > '{tmp_path}/pids'
        wait; sleep 600
    """
    quick = HelmTimeouts(read_seconds=0.5, rollback_seconds=0.5, end_grace_seconds=0.2)
    client = helm(tmp_path, kubeconfig, script, timeouts=quick)

    with pytest.raises(Transient, match=r"had not ended after 0\.5 s"):
        client.history("tts", "voice")
    with pytest.raises(Ambiguous, match=r"had not ended after 0\.5 s"):
        client.rollback("tts", "voice", 1)

    for pid in (tmp_path / "pids").read_text().split():
        until(lambda pid=pid: ended(int(pid)), seconds=5)  # type: ignore[misc]


def ended(pid: int) -> bool:
    """Whether a process runs no more; who adopted it may not have asked after it yet."""
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_program_that_ends_at_the_first_signal_is_not_killed(tmp_path: Path, kubeconfig: Path) -> None:
    script = f"trap \"echo tidied > '{tmp_path}/seen'; exit 1\" TERM; while :; do sleep 0.05; done"
    quick = HelmTimeouts(rollback_seconds=0.3, end_grace_seconds=10)
    with pytest.raises(Ambiguous):
        helm(tmp_path, kubeconfig, script, timeouts=quick).rollback("tts", "voice", 1)
    assert (tmp_path / "seen").read_text() == "tidied\n"


def test_a_program_that_was_killed_leaves_a_rollback_in_doubt(tmp_path: Path, kubeconfig: Path) -> None:
    client = helm(tmp_path, kubeconfig, "kill -KILL $$")
    with pytest.raises(Ambiguous, match="signal 9"):
        client.rollback("tts", "voice", 1)
    with pytest.raises(Transient, match="signal 9"):
        client.history("tts", "voice")


def test_output_without_end_is_cut_off(
    tmp_path: Path, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(helm_process, "MAX_OUTPUT_BYTES", 100_000)
    with pytest.raises(Transient, match="wrote more than 100000 bytes"):
        helm(tmp_path, kubeconfig, "yes").history("tts", "voice")


# --- what it printed -------------------------------------------------------------------------------------


def test_histories_of_helm_3_and_4_are_both_read(tmp_path: Path, kubeconfig: Path) -> None:
    """Only 4 tells ``rollback_revision``; both write nanoseconds."""
    entries = [
        {
            "revision": 12,
            "updated": "2026-11-24T18:10:54.018210415Z",
            "status": "deployed",
            "chart": "tiny-0.1.0",
            "app_version": "1.0",
            "description": "Rollback to 1",
            "rollback_revision": 1,
        },
        {
            "revision": 2,
            "updated": "2026-11-24T19:10:53.5+01:00",
            "status": "superseded",
            "chart": "tiny-0.1.0",
            "app_version": "",
            "description": "Install complete",
        },
    ]
    first, last = prints(tmp_path, kubeconfig, json.dumps(entries)).history("tts", "voice")
    assert (first.revision, first.app_version, last.revision) == (2, "", 12)
    assert first.updated_at == datetime(2026, 11, 24, 18, 10, 53, 500_000, tzinfo=UTC)
    assert (last.status, last.chart, last.description) == ("deployed", "tiny-0.1.0", "Rollback to 1")


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "[1]", "null", "Error: x", "[" * 100_000, '[{"revision": 1}]'),
        *(
            f'[{{"revision": 1, "status": "deployed", "updated": {when}}}]'
            for when in ('"now"', '"2026-11-24"', "1")
        ),
    ],
)
def test_a_history_in_another_form_is_refused(tmp_path: Path, kubeconfig: Path, text: str) -> None:
    client = prints(tmp_path, kubeconfig, text)
    with pytest.raises(Permanent, match="not the JSON"):
        client.history("tts", "voice")


def test_a_description_takes_no_effect_where_it_is_shown(tmp_path: Path, kubeconfig: Path) -> None:
    register_secret("hunter2-hunter2")
    words = "Upgrade\n\x1b[31mfailed: \u202epassword hunter2-hunter2 " + "x" * 5_000
    entry = {"revision": 1, "updated": "2026-11-24T18:10:53Z", "status": "failed", "description": words}
    (one,) = prints(tmp_path, kubeconfig, json.dumps([entry])).history("tts", "voice")
    assert one.description.startswith("Upgrade failed: password *** xxx")
    assert len(one.description) == 500


MANIFEST = """\
---
# Source: tiny/templates/all.yaml
apiVersion: v1
kind: Secret
metadata: {name: tts}
stringData: {password: canary-password}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: tts}
spec:
  template:
    spec:
      initContainers: [{name: migrate, image: "ghcr.io/acme/migrate:1"}]
      containers:
        - {name: app, image: "ghcr.io/acme/tts:1", env: [{name: TOKEN, value: canary-token}]}
        - {name: proxy, image: "ghcr.io/acme/proxy:1"}
---
apiVersion: v1
kind: List
items:
  - kind: StatefulSet
    metadata: {name: cache, namespace: other}
    spec: {template: {spec: {containers: [{name: app, image: "redis:7"}]}}}
  - kind: CronJob
    metadata: {name: prune}
    spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: a, image: "ghcr.io/acme/prune:1"}]}}}}}
---
kind: Pod
metadata: {name: one}
spec: {containers: [{name: app, image: "ghcr.io/acme/tts:1"}]}
---
---
just text
---
kind: Deployment
metadata: {name: [odd]}
spec: {template: [1]}
"""


def test_a_manifest_tells_images_and_workloads_and_nothing_else(tmp_path: Path, kubeconfig: Path) -> None:
    client = prints(tmp_path, kubeconfig, MANIFEST)
    found = client.manifest("tts", "voice", 1)
    assert found.images == (
        "ghcr.io/acme/migrate:1",
        "ghcr.io/acme/tts:1",
        "ghcr.io/acme/proxy:1",
        "redis:7",
        "ghcr.io/acme/prune:1",
    )
    assert found.workloads[:2] == (
        WorkloadRef(kind=WorkloadKind.DEPLOYMENT, namespace="voice", name="tts"),
        WorkloadRef(kind=WorkloadKind.STATEFUL_SET, namespace="other", name="cache"),
    )
    assert "canary" not in repr(found)


def test_a_digest_follows_the_text_but_not_the_space_around_it(tmp_path: Path, kubeconfig: Path) -> None:
    digests = [
        prints(tmp_path, kubeconfig, text).manifest("tts", "voice", 1).digest
        for text in (MANIFEST, f"\n{MANIFEST}\n\n", MANIFEST.replace("canary-token", "other-token"))
    ]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    "text", ["password: [canary-secret", "a: *unknown-canary", "!!python/object:os.system {}"]
)
def test_a_manifest_that_is_no_yaml_is_refused_without_quoting_it(
    tmp_path: Path, kubeconfig: Path, text: str
) -> None:
    with pytest.raises(Permanent, match="is not YAML") as raised:
        prints(tmp_path, kubeconfig, text).manifest("tts", "voice", 1)
    assert "canary" not in f"{raised.value} {raised.value.__cause__}"
    assert raised.value.__context__ is not None


# --- what its words mean ---------------------------------------------------------------------------------

SECRETS_DENIED = (
    'secrets is forbidden: User "u" cannot {} resource "secrets" in API group "" in the namespace "voice"'
)
PATCH_DENIED = (
    'cannot patch "tts" with kind Deployment: deployments.apps "tts" is forbidden: User "u" cannot patch resource '
    '"deployments" in API group "apps" in the namespace "voice"'
)
UNREACHABLE = (
    'Kubernetes cluster unreachable: Get "https://127.0.0.1:1/version": dial tcp 127.0.0.1:1: connect: '
)


@pytest.mark.parametrize(
    ("words", "read", "rollback"),
    [
        ("release: not found", NotFound, NotFound),
        ("release has no 99 version", NotFound, NotFound),
        ("another operation (install/upgrade/rollback) is in progress", Conflict, Conflict),
        (
            'create: failed to create: secrets "sh.helm.release.v1.tts.v8" already exists',
            Conflict,
            Conflict,
        ),
        (UNREACHABLE + "connection refused", Transient, Transient),
        (UNREACHABLE.lower() + "connection refused", Transient, Transient),  # Helm 4
        (
            "Kubernetes cluster unreachable: the server has asked for the client to provide credentials",
            Denied,
            Denied,
        ),
        ("query: failed to query with labels: " + SECRETS_DENIED.format("list"), Denied, Denied),
        ("create: failed to create: " + SECRETS_DENIED.format("create"), Denied, Denied),
        (PATCH_DENIED, Denied, Ambiguous),
        ("query: failed to query with labels: etcdserver: request timed out", Transient, Ambiguous),
        ("Internal error occurred: failed calling webhook", Transient, Ambiguous),
        ("read tcp 127.0.0.1:5->127.0.0.1:6: connection reset by peer", Transient, Ambiguous),
        ("timed out waiting for the condition", Permanent, Ambiguous),
        ("something that helm never said before", Permanent, Ambiguous),
        ("", Permanent, Ambiguous),
    ],
)
def test_helms_words_become_the_products_errors(
    words: str, read: type[RunbookError], rollback: type[RunbookError]
) -> None:
    ran = Ran(code=1, output=b"", errors=f"Error: {words}\n")
    assert type(helm_errors.of_read(ran, "history of release tts in voice")) is read
    assert type(helm_errors.of_rollback(ran, "release tts in voice to revision 1")) is rollback


def test_a_denial_names_verb_and_resource() -> None:
    ran = Ran(code=1, output=b"", errors="Error: " + PATCH_DENIED)
    denied = helm_errors.of_read(ran, "x")
    assert denied.next_step == "allow it to patch deployments.apps in voice"
    doubt = helm_errors.of_rollback(ran, "x")
    assert "may not patch deployments.apps in voice" in doubt.message


def test_what_helm_said_is_bounded_scrubbed_and_harmless() -> None:
    register_secret("hunter2-hunter2")
    words = (
        "WARNING: Kubernetes configuration file is group-readable\nError: \x1b[2Jhunter2-hunter2\n"
        + "y" * 9_999
    )
    text = helm_errors.of_read(Ran(code=1, output=b"", errors=words), "x").message
    assert "hunter2" not in text
    assert "\x1b" not in text
    assert "WARNING" not in text
    assert len(text) < 600
