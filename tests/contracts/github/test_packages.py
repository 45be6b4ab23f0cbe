"""Versions of images: listed for whoever owns them, and named by digest in the registry."""

import pytest

from tests.contracts.github.conftest import Api, GitHub

A = "sha256:" + 64 * "a"


def test_versions_are_listed_newest_first_with_digest_and_tags(bot: Api) -> None:
    rows = bot.get("/orgs/acme/packages/container/ship/versions").json()
    assert [row["metadata"]["container"]["tags"] for row in rows] == [["v2", "latest"], ["v1"], []]
    assert rows[1]["name"] == A
    page = bot.get("/orgs/acme/packages/container/ship/versions?per_page=1&page=2").json()
    assert page == rows[1:2]


def test_an_image_below_another_name_is_quoted_as_one_word(bot: Api) -> None:
    (row,) = bot.get("/orgs/acme/packages/container/group%2Ftool/versions").json()
    assert row["metadata"]["container"]["tags"] == ["v1"]


def test_an_accounts_images_are_at_another_address_than_an_organisations(bot: Api) -> None:
    assert bot.get("/orgs/alice/packages/container/tool/versions").status_code == 404
    assert len(bot.get("/users/alice/packages/container/tool/versions").json()) == 1
    assert bot.get("/users/acme/packages/container/ship/versions").status_code == 404


def test_packages_are_read_only_with_the_permission(github: GitHub) -> None:
    path = "/orgs/acme/packages/container/ship/versions"
    assert github.as_user("narrow").get(path).status_code == 403
    assert github.with_token(None).get(path).status_code == 401
    assert github.as_user("bot").get("/orgs/acme/packages/container/none/versions").status_code == 404


@pytest.mark.parametrize(("reference", "digest"), [("v1", A), (A, A), ("latest", None)])
def test_the_registry_names_the_digest_of_a_tag(bot: Api, reference: str, digest: str | None) -> None:
    rows = bot.get("/orgs/acme/packages/container/ship/versions").json()
    reply = bot.get(f"/v2/acme/ship/manifests/{reference}")
    assert reply.headers["Docker-Content-Digest"] == (digest or rows[0]["name"])
    assert bot.get("/v2/acme/ship/manifests/v0").status_code == 404
