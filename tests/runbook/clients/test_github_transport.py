"""Rules of the door to GitHub: writes once, reads again, errors that say what to do, no token astray."""

import logging
import resource
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from runbook.clients.app_credentials import FixedToken
from runbook.clients.budget import Budget
from runbook.clients.github_transport import GitHubTransport, TooLarge
from runbook.clients.sessions import Timeouts
from runbook.clock import VirtualClock
from runbook.errors import Ambiguous, Conflict, Denied, Gone, NotFound, Permanent, RunbookError, Transient
from runbook.scrub import install_log_scrubber
from tests.runbook.clients.damaging import certificate, damaging_server
from tests.runbook.clients.scripted import Said, Script, Scripted, Seen, scripted

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CANARY = "canary-0123456789abcdef"


def transport(
    url: str, *, clock: VirtualClock | None = None, max_wait_seconds: float = 4000, read_seconds: float = 10
) -> GitHubTransport:
    clock = clock or VirtualClock(START)
    return GitHubTransport(
        credential=FixedToken(SecretStr(CANARY)),
        api_url=url,
        clock=clock,
        budget=Budget(clock, max_wait_seconds=max_wait_seconds),
        timeouts=Timeouts(connect_seconds=5, read_seconds=read_seconds),
    )


@contextmanager
def talking(
    script: Script, *, read_seconds: float = 10
) -> Iterator[tuple[Scripted, GitHubTransport, VirtualClock]]:
    clock = VirtualClock(START)
    with scripted(script) as server:
        door = transport(server.url, clock=clock, read_seconds=read_seconds)
        try:
            yield server, door, clock
        finally:
            door.close()


FAULTS = {
    "500": Said(500, {"message": "Server Error"}),
    "502 page of a proxy": Said(502, b"<html>Bad Gateway</html>"),
    "503": Said(503),
    "time-out": Said(drop="hang"),
    "reset": Said(drop="reset"),
    "answer cut off": Said(200, {"ok": True}, drop="half"),
}


def patience(fault: Said) -> float:
    """Return a time-out that only a server that never answers exceeds."""
    return 0.5 if fault.drop == "hang" else 10


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_write_that_fails_is_sent_exactly_once_and_is_ambiguous(method: str, fault: Said) -> None:
    with talking(lambda seen: fault, read_seconds=patience(fault)) as (server, door, clock):
        with pytest.raises(Ambiguous, match=r"^Could not delete it: .*may or may not.*Next: look whether"):
            door.call(method, "/it", purpose="delete it", body={"a": 1} if method != "DELETE" else None)
        assert server.sent(method) == 1
        assert clock.now() == START


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_read_that_fails_is_sent_again_after_growing_pauses(fault: Said) -> None:
    answers = iter([fault, fault, Said(200, {"ok": True})])
    with talking(lambda seen: next(answers), read_seconds=patience(fault)) as (server, door, clock):
        assert door.call("GET", "/it", purpose="read it").json() == {"ok": True}
        assert server.sent("GET") == 3
        assert (clock.now() - START).total_seconds() == 1 + 2


@pytest.mark.parametrize("fault", [*FAULTS.values(), Said(202)], ids=[*FAULTS.keys(), "202 for ever"])
def test_a_read_that_keeps_failing_ends_as_transient(fault: Said) -> None:
    with talking(lambda seen: fault, read_seconds=patience(fault)) as (server, door, _):
        with pytest.raises(Transient, match=r"^Could not read it: .*Nothing was changed\. Next: "):
            door.call("GET", "/it", purpose="read it")
        assert server.sent("GET") == 4


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_was_sent_where_no_connection_stood(method: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Transient, match=r"the connection failed \(ConnectionError\)\. Nothing was changed"):
        transport(f"http://127.0.0.1:{port}").call(method, "/it", purpose="do it")


def test_a_write_that_was_received_is_ambiguous_where_its_answer_was_damaged_under_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate_file, key_file = certificate(tmp_path)
    monkeypatch.setattr("requests.adapters.DEFAULT_CA_BUNDLE_PATH", str(certificate_file))
    with (
        damaging_server(certificate_file, key_file) as (url, received),
        pytest.raises(Ambiguous, match=r"the connection failed \(SSLError\)\. It may or may not"),
    ):
        transport(url).call("POST", "/it", purpose="do it", body={"a": 1})
    assert received == [b"POST /it HTTP/1.1"]


def test_nothing_was_sent_to_a_server_whose_certificate_is_not_trusted(tmp_path: Path) -> None:
    with (
        damaging_server(*certificate(tmp_path)) as (url, received),
        pytest.raises(Transient, match=r"the connection failed \(SSLError\)\. Nothing was changed"),
    ):
        transport(url).call("POST", "/it", purpose="do it", body={"a": 1})
    assert received == []


def test_a_write_is_not_put_into_a_connection_that_the_server_closed_meanwhile() -> None:
    with talking(lambda seen: Said(200, {}, drop="after")) as (server, door, _):
        for _ in range(3):
            server.closed.clear()
            door.call("POST", "/it", purpose="do it")
            assert server.closed.wait(10)
        assert server.sent("POST") == 3


ERRORS = [
    ("GET", Said(401, {"message": "Bad credentials"}), Denied, "Bad credentials.*token that is valid"),
    (
        "POST",
        Said(
            403,
            {"message": "Resource not accessible by personal access token"},
            {"X-Accepted-GitHub-Permissions": "actions=write"},
        ),
        Denied,
        "Nothing was changed.*these permissions on the repository: actions=write",
    ),
    (
        "GET",
        Said(403, {"message": "Must have admin rights"}, {"X-Accepted-OAuth-Scopes": "repo"}),
        Denied,
        "these scopes: repo",
    ),
    ("GET", Said(403, {"message": "SAML"}, {"X-GitHub-SSO": "required; url=u"}), Denied, "single sign-on"),
    ("GET", Said(403, {"message": "Forbidden"}), Denied, "runbook doctor"),
    ("POST", Said(403, {"message": "This workflow is already running"}), Conflict, "already running"),
    (
        "POST",
        Said(403, {"message": "Unable to retry this workflow run because it was created over a month ago"}),
        Conflict,
        "month ago",
    ),
    ("GET", Said(404, {"message": "Not Found"}), NotFound, "check the name, and that the token may see it"),
    ("DELETE", Said(404, {"message": "Not Found"}), NotFound, "Nothing was changed"),
    ("GET", Said(410, {"message": "Server Error"}), Gone, "removed or has expired"),
    ("POST", Said(409, {"message": "Cannot cancel"}), Conflict, "Cannot cancel.*Nothing was changed"),
    ("PUT", Said(412), Conflict, "412"),
    (
        "POST",
        Said(
            422,
            {
                "message": "Validation Failed",
                "errors": [{"resource": "Label", "field": "name", "code": "already_exists"}, "also this"],
            },
        ),
        Conflict,
        "Validation Failed; Label name already_exists; also this",
    ),
    ("GET", Said(301, {}, {"Location": "http://elsewhere.example/x?y=1"}), Conflict, "renamed or moved"),
    ("POST", Said(307, {}, {"Location": "/repositories/1"}), Conflict, "renamed or moved"),
    ("GET", Said(451, {"message": "Blocked"}), Permanent, "Blocked"),
    ("POST", Said(204), Ambiguous, "may or may not"),
]


@pytest.mark.parametrize(("method", "said", "kind", "text"), ERRORS)
def test_each_answer_becomes_the_error_that_says_what_to_do(
    method: str, said: Said, kind: type[RunbookError], text: str
) -> None:
    with talking(lambda seen: said) as (server, door, _):
        with pytest.raises(kind, match=text) as raised:
            door.call(method, "/it", purpose="do it")
        assert type(raised.value) is kind
        assert str(raised.value).startswith(f"Could not do it: GitHub answered {said.status}")
        assert server.sent(method) == 1


def test_foreign_words_in_an_answer_are_harmless_and_short() -> None:
    said = Said(422, {"message": f"\x1b[31m{CANARY}\nsecond line " + "x" * 5000})
    with talking(lambda seen: said) as (_, door, _), pytest.raises(Conflict) as raised:
        door.call("POST", "/it", purpose="do it")
    text = str(raised.value)
    assert "(*** second line xxx" in text
    assert len(text) < 600


LIMITED = Said(403, {"message": "You have exceeded a secondary rate limit."}, {"Retry-After": "90"})


def test_a_rate_limited_read_waits_as_asked_and_goes_on() -> None:
    answers = iter([LIMITED, Said(200, {"ok": True})])
    with talking(lambda seen: next(answers)) as (server, door, clock):
        assert door.call("GET", "/it", purpose="read it").json() == {"ok": True}
        assert server.sent("GET") == 2
        assert (clock.now() - START).total_seconds() == 91


def test_a_rate_limited_write_was_not_done_and_the_next_call_waits() -> None:
    answers = iter([LIMITED, Said(200, {"ok": True})])
    with talking(lambda seen: next(answers)) as (server, door, clock):
        with pytest.raises(
            Transient, match=r"secondary rate limit.*Nothing was changed\..*in 91 s"
        ) as raised:
            door.call("POST", "/it", purpose="do it")
        assert raised.value.retry_after_seconds == 91
        assert server.sent("POST") == 1
        door.call("POST", "/it", purpose="do it")
        assert (clock.now() - START).total_seconds() == 91


def test_a_limit_that_lasts_longer_than_allowed_ends_the_read() -> None:
    with scripted(lambda seen: LIMITED) as server:
        door = transport(server.url, max_wait_seconds=60)
        with pytest.raises(Transient) as raised:
            door.call("GET", "/it", purpose="read it")
        door.close()
        assert raised.value.retry_after_seconds == 91
        assert server.sent("GET") == 1


def test_headers_are_learnt_and_waited_for_instead_of_tripping_the_limit() -> None:
    headers = {
        "X-RateLimit-Limit": "5000",
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(int(START.timestamp()) + 600),
    }
    with talking(lambda seen: Said(200, {}, headers)) as (_, door, clock):
        door.call("GET", "/it", purpose="read it")
        door.call("GET", "/it", purpose="read it")
        assert (clock.now() - START).total_seconds() == 601


def test_under_many_threads_each_answer_belongs_to_its_own_call() -> None:
    def echo(seen: Seen) -> Said:
        return Said(200, {"method": seen.method, "path": seen.path, "n": seen.query["n"], "body": seen.body})

    with talking(echo) as (server, door, _):

        def call(number: int) -> None:
            method = ("GET", "POST", "PATCH", "DELETE")[number % 4]
            body = {"n": number} if method in ("POST", "PATCH") else None
            answer = door.call(method, f"/it/{number}", purpose="echo", query={"n": number}, body=body).json()
            assert answer == {"method": method, "path": f"/it/{number}", "n": str(number), "body": body}

        # Threads take turns far more often than usual: a state that two calls share would mix them up.
        usual = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            with ThreadPoolExecutor(16) as pool:
                list(pool.map(call, range(800)))
        finally:
            sys.setswitchinterval(usual)
        assert len(server.seen) == 800
        assert {seen.headers["authorization"] for seen in server.seen} == {f"token {CANARY}"}


def test_a_base_url_with_a_prefix_is_kept() -> None:
    with scripted(lambda seen: Said(200, {})) as server:
        door = transport(f"{server.url}/api/v3")
        door.call("GET", "/user", purpose="read it")
        door.close()
        assert server.seen[0].path == "/api/v3/user"


def test_loopback_is_reached_without_the_environments_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    with log_host(Said(200, b"log")) as (_, _, door):
        assert list(door.stream("/logs", purpose="read the log")) == [b"log"]


# --- Logs and artifacts ---


@contextmanager
def log_host(*answers: Said, api: Said | None = None) -> Iterator[tuple[Scripted, Scripted, GitHubTransport]]:
    pending = iter(answers)
    with scripted(lambda seen: next(pending)) as store:
        redirect = Said(302, None, {"Location": f"{store.url}/log?sig=abcdefgh"})
        with talking(lambda seen: api or redirect) as (server, door, _):
            yield server, store, door


def test_a_log_is_fetched_from_its_host_without_the_token() -> None:
    with log_host(Said(200, b"line 1\nline 2\n")) as (server, store, door):
        assert b"".join(door.stream("/logs", purpose="read the log")) == b"line 1\nline 2\n"
        assert "authorization" not in store.seen[0].headers
        assert CANARY not in str(store.seen)
        assert server.seen[0].headers["authorization"] == f"token {CANARY}"


def test_a_link_that_is_refused_is_asked_for_anew() -> None:
    with log_host(Said(403, b"expired"), Said(drop="reset"), Said(200, b"ok")) as (server, store, door):
        assert b"".join(door.stream("/logs", purpose="read the log")) == b"ok"
        assert server.sent("GET") == store.sent("GET") == 3


def test_a_log_that_is_gone_is_said_before_the_first_byte() -> None:
    with log_host(api=Said(410, {"message": "Server Error"})) as (_, _, door), pytest.raises(Gone):
        door.stream("/logs", purpose="read the log")
    with (
        log_host(Said(404)) as (_, _, door),
        pytest.raises(Gone, match=r"127\.0\.0\.1, where GitHub keeps it"),
    ):
        door.stream("/logs", purpose="read the log")


def test_a_download_that_breaks_off_is_transient() -> None:
    broke = pytest.raises(Transient, match="to its end: the connection broke")
    with log_host(Said(200, b"half", drop="half")) as (_, _, door), broke:
        list(door.stream("/logs", purpose="read the log"))


def test_a_download_over_its_limit_gives_the_first_part_and_says_so() -> None:
    with log_host(Said(200, b"0123456789")) as (_, _, door):
        pieces = door.stream("/logs", purpose="read the log", largest_bytes=4)
        assert next(pieces) == b"0123"
        with pytest.raises(TooLarge, match="more than the 4 bytes"):
            next(pieces)
    with log_host(Said(200, b"0123")) as (_, _, door):
        assert list(door.stream("/logs", purpose="read the log", largest_bytes=4)) == [b"0123"]


@pytest.mark.parametrize("location", ["ftp://host/log", "file:///etc/passwd"])
def test_a_log_is_never_read_over_another_protocol(location: str) -> None:
    refused = pytest.raises(Permanent, match="not https")
    with log_host(api=Said(302, None, {"Location": location})) as (_, _, door), refused:
        door.stream("/logs", purpose="read the log")


def test_a_log_of_two_gibibytes_is_streamed_in_bounded_memory() -> None:
    piece, pieces = b"2026-03-01T12:00:00.0000000Z all is well\n" * 25_600, 2048
    with log_host(Said(200, stream=(piece for _ in range(pieces)))) as (_, _, door):
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        total = sum(len(chunk) for chunk in door.stream("/logs", purpose="read the log"))
        after_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert total == len(piece) * pieces > 2 * 1024**3 * 0.99
    assert after_kib - before_kib < 64 * 1024


# --- The token ---


def test_the_token_is_in_no_error_no_repr_and_no_log_record(caplog: pytest.LogCaptureFixture) -> None:
    before = logging.getLogRecordFactory()
    install_log_scrubber()
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    echo = f"you sent token {CANARY}"
    answers = [*FAULTS.values(), Said(401, {"message": echo}), Said(422, {"message": echo}), Said(200, echo)]
    answers.append(Said(403, {"message": f"rate limit {echo}"}, {"Retry-After": "1", "X-Echo": CANARY}))
    try:
        for answer in answers:
            with talking(lambda seen, answer=answer: answer, read_seconds=patience(answer)) as (_, door, _):
                said.append(repr(door))
                for method in ("GET", "POST"):
                    try:
                        door.call(method, "/it", purpose="do it")
                    except RunbookError as error:
                        cause = error.__cause__
                        said += [str(error), repr(error), repr(cause)]
                        assert getattr(cause, "request", None) is None, "it holds the header"
    finally:
        logging.setLogRecordFactory(before)
    assert len(said) > 20
    assert CANARY not in "\n".join(said)
    assert CANARY not in caplog.text
    assert threading.active_count() < 50
