"""Rules of the sessions: no login but the one they are told."""

from pathlib import Path

import pytest
import requests

from runbook.clients.sessions import new_session, without_headers
from tests.runbook.clients.scripted import Said, scripted


@pytest.mark.parametrize("url", ["https://api.github.com", "http://127.0.0.1:1"])
def test_a_login_of_netrc_is_sent_nowhere(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with new_session(url) as session:
        assert "Authorization" not in session.prepare_request(requests.Request("GET", url)).headers


def test_the_environments_proxy_is_for_other_machines_only() -> None:
    with new_session("https://api.github.com") as away, new_session("http://127.0.0.1:1") as here:
        assert (away.trust_env, here.trust_env) == (True, False)


def test_a_cause_loses_the_request_that_holds_the_token() -> None:
    request = requests.Request("GET", "http://x", headers={"Authorization": "token t"}).prepare()
    assert without_headers(requests.ConnectionError(request=request)).request is None


def test_a_redirect_is_followed_without_any_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password something\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with scripted(lambda seen: Said(200, b"log")) as elsewhere:
        there = Said(302, None, {"Location": elsewhere.url})
        with scripted(lambda seen: there) as server, new_session("https://api.github.com") as session:
            assert session.get(server.url, headers={"Authorization": "token t"}, timeout=5).content == b"log"
    assert "authorization" not in elsewhere.seen[0].headers


@pytest.mark.parametrize(
    ("location", "followed"),
    [("http://store.test/log", False), ("https://store.test/log", True), ("/log", True)],
)
def test_a_redirect_never_leaves_tls(location: str, followed: bool) -> None:
    answer = requests.Response()
    answer.status_code, answer.url, answer.headers["location"] = 302, "https://store.test/", location
    with new_session("https://api.github.com") as session:
        assert (session.get_redirect_target(answer) is not None) is followed
