"""Who may do what: credentials, roles, fine-grained permissions, private and archived repositories."""

import pytest

from tests.contracts.github.conftest import Api, GitHub


def test_bad_credentials_are_401_whatever_is_asked(github: GitHub) -> None:
    reply = github.with_token("ghp_wrong").get("/user")
    assert (reply.status_code, reply.json()["message"]) == (401, "Bad credentials")


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "token"])
def test_both_authorization_schemes_are_accepted(github: GitHub, bot: Api, scheme: str) -> None:
    value = bot._headers["Authorization"].split()[1]
    reply = github.with_token(None).get("/user", headers={"Authorization": f"{scheme} {value}"})
    assert reply.json()["login"] == "bot"


@pytest.mark.parametrize("login", [None, "stranger"])
def test_a_private_repository_is_404_for_whoever_may_not_see_it(github: GitHub, login: str | None) -> None:
    api = github.as_user(login) if login else github.with_token(None)
    assert [api.get(path).status_code for path in ("", "actions/runs", "issues")] == [404] * 3


def test_a_write_without_a_token_requires_authentication(github: GitHub) -> None:
    reply = github.with_token(None).post("/repos/acme/frozen/issues", json={"title": "x"})
    assert reply.status_code == 401


@pytest.mark.parametrize(
    ("login", "flags"),
    [
        ("alice", {"admin": True, "maintain": True, "push": True, "triage": True, "pull": True}),
        ("bot", {"admin": False, "maintain": False, "push": True, "triage": True, "pull": True}),
        ("rita", {"admin": False, "maintain": False, "push": False, "triage": False, "pull": True}),
    ],
)
def test_a_repository_tells_the_permissions_of_the_token(
    github: GitHub, login: str, flags: dict[str, bool]
) -> None:
    assert github.as_user(login).get("").json()["permissions"] == flags


@pytest.mark.parametrize(
    ("login", "permission", "role"),
    [
        ("alice", "admin", "admin"),
        ("bob", "write", "maintain"),
        ("bot", "write", "write"),
        ("tina", "read", "triage"),
        ("rita", "read", "read"),
        ("stranger", "none", "none"),
    ],
)
def test_maintain_and_triage_show_only_in_the_role_name(
    bot: Api, login: str, permission: str, role: str
) -> None:
    body = bot.get(f"collaborators/{login}/permission").json()
    assert (body["permission"], body["role_name"], body["user"]["login"]) == (permission, role, login)


def test_the_permission_of_others_is_told_only_to_those_who_may_push(github: GitHub) -> None:
    assert github.as_user("rita").get("collaborators/alice/permission").status_code == 403


def test_an_account_that_is_removed_loses_its_role_at_once(github: GitHub, bot: Api) -> None:
    assert github.as_user("alice").delete("collaborators/bob").status_code == 204
    assert bot.get("collaborators/bob/permission").json()["role_name"] == "none"
    assert github.as_user("bob").get("").status_code == 404


def test_an_admin_may_change_a_role_and_nobody_else(github: GitHub, bot: Api) -> None:
    assert bot.put("collaborators/rita", json={"permission": "push"}).status_code == 403
    alice = github.as_user("alice")
    assert alice.put("collaborators/rita", json={"permission": "push"}).status_code == 204
    assert bot.get("collaborators/rita/permission").json()["role_name"] == "write"


@pytest.mark.parametrize(
    ("method", "path", "needs"),
    [
        ("POST", "actions/runs/{run}/rerun-failed-jobs", "actions=write"),
        ("DELETE", "actions/caches?key=deps-1", "actions=write"),
        ("GET", "contents/CODEOWNERS", "contents=read"),
        ("GET", "branches/main/protection/required_status_checks", "administration=read"),
    ],
)
def test_a_fine_grained_token_is_refused_with_the_permission_it_lacks(
    github: GitHub, bot: Api, method: str, path: str, needs: str
) -> None:
    reply = github.as_user("narrow").send(method, path.replace("{run}", str(bot.failed_run()["id"])))
    assert reply.status_code == 403
    assert reply.json()["message"] == "Resource not accessible by personal access token"
    assert reply.headers["x-accepted-github-permissions"] == needs


def test_a_permission_that_the_token_has_lets_it_in(github: GitHub) -> None:
    narrow = github.as_user("narrow")
    assert narrow.get("actions/runs").status_code == 200
    assert narrow.post("issues", json={"title": "x"}).status_code == 201


def test_a_classic_token_tells_its_scopes(bot: Api) -> None:
    assert "repo" in bot.get("").headers["x-oauth-scopes"]


@pytest.mark.parametrize("path", ["actions/caches/501", "actions/caches?key=deps-1"])
def test_readers_may_not_delete_caches(github: GitHub, bot: Api, path: str) -> None:
    assert github.as_user("rita").delete(path).status_code == 403
    assert bot.get("actions/caches?key=deps-1").json()["total_count"] == 3


def test_an_archived_repository_is_read_only(github: GitHub, bot: Api) -> None:
    reply = bot.post("/repos/acme/frozen/issues", json={"title": "x"})
    assert (reply.status_code, "archived" in reply.json()["message"]) == (403, True)
    assert bot.get("/repos/acme/frozen").json()["archived"] is True


def test_names_do_not_differ_by_case_and_the_enterprise_prefix_is_accepted(github: GitHub, bot: Api) -> None:
    body = bot.get("/api/v3/repos/ACME/App").json()
    assert body["full_name"] == "acme/app"
    assert body["url"] == f"{github.url}/api/v3/repos/acme/app"


@pytest.mark.parametrize("path", ["/nothing", "/users/nobody", "actions/runs/abc", "actions/runs/1"])
def test_what_is_not_there_is_404(bot: Api, path: str) -> None:
    reply = bot.get(path)
    assert (reply.status_code, reply.json()["status"]) == (404, "404")


def test_a_body_that_is_not_json_is_400_and_changes_nothing(bot: Api) -> None:
    run = bot.failed_run()
    assert bot.post(f"actions/runs/{run['id']}/rerun-failed-jobs", data="{").status_code == 400
    assert bot.get(f"actions/runs/{run['id']}").json()["run_attempt"] == 1


def test_the_registry_takes_the_same_login(github: GitHub, bot: Api, session: object) -> None:
    anonymous, token = github.with_token(None), bot._headers["Authorization"].split()[1]
    scope = {"service": "ghcr.io", "scope": "repository:acme/app:pull"}
    assert anonymous.get("/v2/acme/app/manifests/1.0").status_code == 401
    assert anonymous.get("/token", params=scope, auth=("bot", "ghp_wrong")).status_code == 403
    bearer = anonymous.get("/token", params=scope, auth=("bot", token)).json()["token"]
    headers = {"Authorization": f"Bearer {bearer}"}
    assert anonymous.send("HEAD", "/v2/acme/app/manifests/1.0", headers=headers).status_code == 200
    assert anonymous.send("HEAD", "/v2/acme/app/manifests/2.0", headers=headers).status_code == 404
