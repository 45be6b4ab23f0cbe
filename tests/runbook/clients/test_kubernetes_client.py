"""The Kubernetes client's errors, bounds and promises, against a server that says what no stand-in would."""

import json
import logging
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runbook.clients.kubernetes_client import KubernetesClient
from runbook.clients.kubernetes_transport import KubernetesTimeouts
from runbook.errors import (
    Ambiguous,
    Conflict,
    Denied,
    Gone,
    NotFound,
    Permanent,
    RunbookError,
    Transient,
    UsageError,
)
from runbook.workloads import WorkloadKind, WorkloadRef
from tests.runbook.clients.kubernetes_bodies import (
    NAMESPACE,
    TOKEN,
    body_of,
    replica_set,
    status,
    write_kubeconfig,
)
from tests.runbook.clients.scripted import Said, Scripted, Seen, scripted

REF = WorkloadRef(kind=WorkloadKind.DEPLOYMENT, namespace=NAMESPACE, name="tts")
QUICK = KubernetesTimeouts(connect_seconds=1, read_seconds=0.3, answer_seconds=0.6, service_seconds=0.3)
LOST = {
    "broken off": Said(200, {"a": 1}, drop="half"),
    "reset": Said(drop="reset"),
    "no answer in time": Said(drop="hang"),
    "500": Said(500, status(500, "InternalError", "etcdserver: request timed out")),
    "503": Said(503, status(503, "ServiceUnavailable", "shutting down"), headers={"Retry-After": "3"}),
    "504": Said(504, status(504, "Timeout", "request did not complete within the allotted timeout")),
    "a proxy's page": Said(502, b"<html>Bad Gateway</html>"),
    "no JSON": Said(200, b"hello"),
}


@contextmanager
def talking(tmp_path: Path, script: Callable[[Seen], Said]) -> Iterator[tuple[Scripted, KubernetesClient]]:
    with scripted(script) as server:
        client = KubernetesClient(write_kubeconfig(tmp_path, server.url), timeouts=QUICK)
        try:
            yield server, client
        finally:
            client.close()


def answers(said: Said) -> Callable[[Seen], Said]:
    return lambda seen: said


def put(client: KubernetesClient) -> object:
    workload = client.workload(REF)
    revision = client.revisions(workload)[0]
    return client.put_template(workload, revision.name, template_digest=revision.template.digest)


def well_until_patched(said: Said) -> Callable[[Seen], Said]:
    """Answer reads as an API server does, and the write with ``said``."""

    def script(seen: Seen) -> Said:
        if seen.method == "PATCH":
            return said
        if seen.path.endswith("/replicasets"):
            return Said(200, {"items": [replica_set("tts-1")], "metadata": {}})
        return Said(200, replica_set("tts-1") if "/replicasets/" in seen.path else body_of("tts"))

    return script


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST.keys())
def test_a_write_whose_answer_is_lost_is_sent_once_and_is_ambiguous(tmp_path: Path, fault: Said) -> None:
    with (
        talking(tmp_path, well_until_patched(fault)) as (server, client),
        pytest.raises(Ambiguous, match=r"deployments\.apps tts in voice") as caught,
    ):
        put(client)
    assert server.sent("PATCH") == 1
    assert caught.value.unchanged == "Whether it took effect is not known."


@pytest.mark.parametrize(
    "fault", [one for name, one in LOST.items() if name != "no JSON"], ids=[n for n in LOST if n != "no JSON"]
)
def test_a_read_without_an_answer_is_transient_and_sent_once(tmp_path: Path, fault: Said) -> None:
    with talking(tmp_path, answers(fault)) as (server, client), pytest.raises(Transient):
        client.workload(REF)
    assert server.sent("GET") == 1


@pytest.mark.parametrize(("header", "seconds"), [("3", 3.0), ("soon", None), ("-1", None), ("1e9", None)])
def test_what_the_api_server_asks_to_wait_is_told(tmp_path: Path, header: str, seconds: float | None) -> None:
    for code in (429, 503):
        said = Said(code, status(code, "TooManyRequests", "please try again later"), {"Retry-After": header})
        with talking(tmp_path, answers(said)) as (_, client), pytest.raises(Transient) as caught:
            client.workload(REF)
        assert caught.value.retry_after_seconds == seconds


def test_a_write_that_was_turned_away_for_load_changed_nothing(tmp_path: Path) -> None:
    said = Said(429, status(429, "TooManyRequests", "busy"), {"Retry-After": "1"})
    with (
        talking(tmp_path, well_until_patched(said)) as (server, client),
        pytest.raises(Transient) as caught,
    ):
        put(client)
    assert (server.sent("PATCH"), caught.value.retry_after_seconds) == (1, 1.0)


def test_a_write_that_others_keep_overtaking_ends(tmp_path: Path) -> None:
    said = Said(409, status(409, "Conflict", "the object has been modified"))
    with talking(tmp_path, well_until_patched(said)) as (server, client), pytest.raises(Conflict):
        put(client)
    assert server.sent("PATCH") == 5


ERRORS: list[tuple[Said, type[RunbookError], str]] = [
    (
        Said(403, status(403, "Forbidden", 'cannot get resource "deployments"')),
        Denied,
        r"may not get deployments\.apps in voice: cannot",
    ),
    (Said(401, status(401, "Unauthorized", "Unauthorized")), Denied, "does not know the account"),
    (Said(404, status(404, "NotFound", '"tts" not found')), NotFound, "nothing for get deployments"),
    (Said(404, b"404 page not found"), NotFound, r"has no deployments\.apps at all"),
    (Said(410, status(410, "Expired", "too old")), Gone, "no longer has"),
    (Said(422, status(422, "Invalid", "is invalid")), Conflict, "is invalid"),
    (Said(400, status(400, "BadRequest", "what?")), Permanent, r"refused .*\(400\): what\?"),
    (Said(302, b"", {"Location": "/elsewhere"}), Permanent, r"\(302\)"),
    (Said(200, b"[]"), Permanent, "it is no JSON object"),
    (Said(200, b"no JSON"), Permanent, "it is no JSON object"),
    (Said(200, {}), Permanent, "KeyError 'metadata'"),
    (Said(200, body_of("tts", replicas="many")), Permanent, "wanted: Input should be a valid integer"),
    (Said(200, body_of("tts", template=None)), Permanent, "is not what its API promises"),
]


@pytest.mark.parametrize(("said", "kind", "text"), ERRORS)
def test_each_answer_becomes_the_error_that_says_what_to_do(
    tmp_path: Path, said: Said, kind: type[RunbookError], text: str
) -> None:
    with talking(tmp_path, answers(said)) as (server, client), pytest.raises(kind, match=text) as caught:
        client.workload(REF)
    assert type(caught.value) in (kind, *kind.__subclasses__())
    assert (server.sent("GET"), caught.value.unchanged) == (1, "Nothing was changed.")


def test_nothing_was_sent_where_no_connection_stood(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there
        client = KubernetesClient(
            write_kubeconfig(tmp_path, f"http://127.0.0.1:{taken.getsockname()[1]}"), timeouts=QUICK
        )
        with pytest.raises(Transient, match="cannot be reached for get deployments") as caught:
            client.workload(REF)
    assert "0x" not in str(caught.value)


def test_a_write_is_transient_where_the_server_went_away_before_it_was_sent(tmp_path: Path) -> None:
    with talking(tmp_path, well_until_patched(Said(200, body_of("tts")))) as (server, client):
        workload = client.workload(REF)
        guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": workload.resource_version}
    with pytest.raises(Transient, match="cannot be reached for patch applications"):
        client.patch_custom_object("argoproj.io", "v1alpha1", NAMESPACE, "applications", "tts", [guard])
    assert server.sent("PATCH") == 0


def test_an_answer_that_trickles_in_is_given_up(tmp_path: Path) -> None:
    def trickle() -> Iterator[bytes]:
        ends = time.monotonic() + 5
        while time.monotonic() < ends:
            yield b" "
            threading.Event().wait(0.05)

    begun = time.monotonic()
    with (
        talking(tmp_path, lambda seen: Said(200, stream=trickle())) as (_, client),
        pytest.raises(Transient, match="gave no whole answer in time"),
    ):
        client.workload(REF)
    assert time.monotonic() - begun < 4


def test_an_answer_over_its_limit_is_refused(tmp_path: Path) -> None:
    with scripted(answers(Said(200, b"x" * 2_000))) as server:
        limit = KubernetesTimeouts(largest_bytes=1_000)
        client = KubernetesClient(write_kubeconfig(tmp_path, server.url), timeouts=limit)
        with pytest.raises(Permanent, match="more than the 1000 bytes"):
            client.workload(REF)
        client.close()


def test_a_log_is_asked_for_and_cut_at_its_limit(tmp_path: Path) -> None:
    with talking(tmp_path, answers(Said(200, b"\xff" + b"x" * 1_100_000))) as (server, client):
        text = client.pod_log(NAMESPACE, "tts-1", container="app", tail_lines=7)
    assert len(text) == 1024 * 1024
    assert text.startswith("\N{REPLACEMENT CHARACTER}x")
    assert server.seen[0].query == {"tailLines": "7", "limitBytes": "1048576", "container": "app"}


def test_a_service_s_large_page_is_cut_and_says_so(tmp_path: Path) -> None:
    with talking(tmp_path, answers(Said(200, b"x" * 4_194_305))) as (_, client):
        answer = client.ask_service(NAMESPACE, "tts", 8000, "/metrics?a=b c")
    assert (len(answer.body), answer.cut) == (4 * 1024 * 1024, True)


@pytest.mark.parametrize("path", ["health", "/../pods", "/a/%2e%2e/%2e%2e/secrets", "/.", ""])
def test_a_service_s_path_never_leads_out_of_it(tmp_path: Path, path: str) -> None:
    with (
        talking(tmp_path, answers(Said(200, b"ok"))) as (server, client),
        pytest.raises(UsageError, match="is not the path of a page"),
    ):
        client.ask_service(NAMESPACE, "tts", 8000, path)
    assert server.seen == []


SERVICE: list[tuple[Said, type[RunbookError] | int]] = [
    (Said(500, b"oops"), 500),
    (Said(404, {"detail": "Not Found"}), 404),
    (Said(403, {"kind": "Refusal"}), 403),
    (Said(503, b"warming up"), 503),
    (Said(503, status(503, "ServiceUnavailable", 'no endpoints available for service "tts"')), Conflict),
    (Said(503, status(503, "ServiceUnavailable", "error trying to reach service: refused")), Conflict),
    (Said(503, status(503, "ServiceUnavailable", "apiserver is shutting down")), Transient),
    (Said(403, status(403, "Forbidden", "cannot get")), Denied),
    (Said(404, status(404, "NotFound", 'services "tts" not found')), NotFound),
]


@pytest.mark.parametrize(("said", "means"), SERVICE)
def test_a_service_s_own_answer_is_told_from_the_api_server_s(
    tmp_path: Path, said: Said, means: type[RunbookError] | int
) -> None:
    with talking(tmp_path, answers(said)) as (_, client):
        if isinstance(means, int):
            assert client.ask_service(NAMESPACE, "tts", 8000, "/health").status == means
        else:
            with pytest.raises(means):
                client.ask_service(NAMESPACE, "tts", 8000, "/health")


def test_a_service_that_hangs_is_given_up_in_its_own_time(tmp_path: Path) -> None:
    with (
        talking(tmp_path, answers(Said(drop="hang"))) as (_, client),
        pytest.raises(Transient, match="no whole answer in time"),
    ):
        client.ask_service(NAMESPACE, "tts", 8000, "/health")


def test_a_list_is_read_page_by_page(tmp_path: Path) -> None:
    def pages(seen: Seen) -> Said:
        last = seen.query.get("continue") == "more"
        items = [body_of("second" if last else "first")]
        return Said(200, {"items": items, "metadata": {} if last else {"continue": "more"}})

    with talking(tmp_path, pages) as (server, client):
        found = client.workloads(NAMESPACE, WorkloadKind.DEPLOYMENT)
    assert [one.ref.name for one in found] == ["first", "second"]
    assert [seen.query for seen in server.seen] == [{"limit": "500"}, {"limit": "500", "continue": "more"}]


def test_a_list_that_grew_too_old_between_two_pages_may_be_read_again(tmp_path: Path) -> None:
    def pages(seen: Seen) -> Said:
        if "continue" in seen.query:
            return Said(410, status(410, "Expired", "The provided continue parameter is too old"))
        return Said(200, {"items": [], "metadata": {"continue": "more"}})

    with talking(tmp_path, pages) as (_, client), pytest.raises(Transient, match="grew too old"):
        client.workloads(NAMESPACE, WorkloadKind.DEPLOYMENT)


def test_foreign_words_in_an_answer_are_harmless_and_short(tmp_path: Path) -> None:
    words = "\x1b[31mred\n" + "x" * 5_000
    said = Said(400, status(400, "BadRequest", words))
    with talking(tmp_path, answers(said)) as (_, client), pytest.raises(Permanent) as caught:
        client.workload(REF)
    assert "\x1b" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 800


def test_the_token_is_in_no_error_no_repr_and_no_log_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    said = Said(403, status(403, "Forbidden", f"token {TOKEN} cannot"))
    with caplog.at_level(logging.DEBUG), talking(tmp_path, answers(said)) as (server, client):
        with pytest.raises(Denied) as caught:
            client.workload(REF)
        shown = repr(client) + repr(vars(client)) + str(caught.value) + repr(caught.value)
    assert server.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in shown
    assert not any(TOKEN in record.getMessage() for record in caplog.records)


def test_a_template_s_plain_values_are_in_no_error(tmp_path: Path) -> None:
    body = body_of("tts")
    body["spec"]["template"]["spec"]["containers"][0] = {"image": 5, "name": "app", "env": "hunter2-hunter2"}
    with talking(tmp_path, answers(Said(200, body))) as (_, client), pytest.raises(Permanent) as caught:
        client.workload(REF)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_renewed_token_is_used_without_a_new_client(tmp_path: Path) -> None:
    def known(seen: Seen) -> Said:
        if seen.headers["authorization"] == "Bearer renewed-token":
            return Said(200, body_of("tts"))
        return Said(401, status(401, "Unauthorized", "Unauthorized"))

    with talking(tmp_path, known) as (server, client):
        with pytest.raises(Denied, match="does not know the account"):
            client.workload(REF)
        write_kubeconfig(tmp_path, server.url, token="renewed-token")
        assert client.workload(REF).ref == REF


def unusable(tmp_path: Path, text: str | None) -> RunbookError:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        KubernetesClient(path).workload(REF)
    return caught.value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "No configuration found"),
        ("users: [{name: u, user: {token: hunter2-hunter2}", "no YAML, see line 1"),
        ("apiVersion: v1\nkind: Config\ncurrent-context: nope\ncontexts: []\n", "nope"),
        ("[]", "ConfigException|TypeError|AttributeError"),
        ("", "ConfigException"),
    ],
)
def test_a_kubeconfig_that_cannot_be_used_says_why_without_quoting_it(
    tmp_path: Path, text: str | None, why: str
) -> None:
    error = unusable(tmp_path, text)
    assert re.search(why, error.message), error.message
    assert "hunter2" not in str(error)


def test_without_kubeconfig_and_outside_of_a_pod_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(UsageError, match="KUBECONFIG is not set, and this is no pod"):
        KubernetesClient(None).version()


def test_loopback_is_reached_without_the_environments_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with talking(tmp_path, answers(Said(200, {"gitVersion": "v1.36.3"}))) as (_, client):
        assert client.version() == "v1.36.3"


def test_a_patch_is_guarded_names_its_manager_and_brings_the_change_cause_along(tmp_path: Path) -> None:
    with talking(tmp_path, well_until_patched(Said(200, body_of("tts")))) as (server, client):
        put(client)
    patch = next(seen for seen in server.seen if seen.method == "PATCH")
    assert patch.query == {"fieldManager": "runbook"}
    assert patch.headers["content-type"] == "application/json-patch+json"
    assert json.loads(json.dumps(patch.body)) == [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": "7"},
        {"op": "replace", "path": "/spec/template", "value": body_of("tts")["spec"]["template"]},
        {"op": "add", "path": "/metadata/annotations/kubernetes.io~1change-cause", "value": "one"},
    ]


def test_the_vendor_s_package_is_not_imported_before_the_first_call() -> None:
    program = "import sys, runbook.clients.kubernetes_client; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_many_threads_share_a_client(tmp_path: Path) -> None:
    def echo(seen: Seen) -> Said:
        return Said(200, body_of(seen.path.rpartition("/")[2]))

    found: dict[str, str] = {}
    with scripted(echo) as server:
        # Its short queue of connections is soon full: one that finds no place knocks again after a second.
        client = KubernetesClient(write_kubeconfig(tmp_path, server.url))

        def ask(name: str) -> None:
            found[name] = client.workload(REF.model_copy(update={"name": name})).ref.name

        threads = [threading.Thread(target=ask, args=(f"w{number}",)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        client.close()
    assert found == {f"w{number}": f"w{number}" for number in range(16)}
