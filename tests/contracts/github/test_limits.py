"""Rate limits and conditional requests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests

import sandbox
from tests.contracts.github.conftest import START, Api, GitHub

Start = Callable[..., GitHub]


@pytest.fixture
def start(session: requests.Session) -> Iterator[Start]:
    """Start a GitHub with limits of its own."""
    with ExitStack() as stack:

        def run(**limits: Any) -> GitHub:
            scenario = {
                "bot": "bot",
                "limits": limits,
                "users": {"bot": {}, "bob": {}},
                "repositories": {"acme/app": {"roles": {"bot": "write"}}},
            }
            clock = sandbox.VirtualClock(START)
            box = stack.enter_context(sandbox.running(scenario, clock=clock))
            return GitHub(box, session)

        yield run


def test_every_answer_tells_what_is_left_of_the_hour(start: Start) -> None:
    github = start()
    bot = github.as_user("bot")
    left = [
        int(reply.headers["x-ratelimit-remaining"])
        for reply in (bot.get(""), bot.get("issues/7"), bot.post("issues", json={}))
    ]
    assert left == [4999, 4998, 4997]
    reply = bot.get("")
    assert int(reply.headers["x-ratelimit-reset"]) == int(START.timestamp()) + 3600
    assert reply.headers["x-ratelimit-resource"] == "core"
    assert reply.headers["x-github-request-id"]


def test_asking_for_the_limits_costs_nothing(start: Start) -> None:
    bot = start().as_user("bot")
    bot.get("")
    for _ in range(3):
        assert bot.get("/rate_limit").json()["resources"]["core"]["used"] == 1


def test_the_hourly_budget_is_refused_when_used_up_and_comes_back(start: Start) -> None:
    github = start(requests_per_hour=3)
    bot = github.as_user("bot")
    assert [bot.get("").status_code for _ in range(4)] == [200, 200, 200, 403]
    reply = bot.get("")
    assert reply.json()["message"].startswith("API rate limit exceeded for user ID")
    assert (reply.headers["x-ratelimit-remaining"], "retry-after" in reply.headers) == ("0", False)
    assert github.as_user("bob").get("").status_code == 200
    github.wait(3600)
    assert bot.get("").status_code == 200


def test_strangers_have_sixty_requests(start: Start) -> None:
    anonymous = start().with_token(None)
    assert [anonymous.get("").status_code for _ in range(61)] == [200] * 60 + [403]


def test_points_run_out_in_a_burst_and_come_back_after_a_minute(start: Start) -> None:
    github = start()
    bot = github.as_user("bot")
    answers = [bot.delete("actions/caches/1").status_code for _ in range(181)]
    assert answers == [404] * 180 + [403]
    reply = bot.get("")
    assert "secondary rate limit" in reply.json()["message"]
    assert 1 <= int(reply.headers["retry-after"]) <= 60
    github.wait(60)
    assert bot.get("").status_code == 200


def test_a_read_costs_a_point_and_a_write_five(start: Start) -> None:
    bot = start(points_per_minute=12).as_user("bot")
    answers = [bot.delete("actions/caches/1").status_code for _ in range(2)]
    answers += [bot.get("").status_code for _ in range(3)]
    assert answers == [404, 404, 200, 200, 403]


@pytest.mark.parametrize(("status", "retry_after"), [(403, False), (429, True)])
def test_a_secondary_refusal_may_come_as_either_status_and_without_a_hint(
    start: Start, status: int, retry_after: bool
) -> None:
    bot = start(points_per_minute=1, secondary_status=status, retry_after=retry_after).as_user("bot")
    bot.get("")
    reply = bot.get("")
    assert (reply.status_code, "retry-after" in reply.headers) == (status, retry_after)


def write(api: Api) -> int:
    return api.post("issues", json={"title": "x"}).status_code


def test_eighty_pieces_of_content_a_minute_are_the_most(start: Start) -> None:
    github = start()
    bot = github.as_user("bot")
    assert [write(bot) for _ in range(81)] == [201] * 80 + [403]
    assert bot.delete("actions/caches/1").status_code == 404
    github.wait(60)
    assert write(bot) == 201


def test_five_hundred_pieces_of_content_an_hour_are_the_most(start: Start) -> None:
    github = start(content_per_hour=5)
    bot = github.as_user("bot")
    answers = []
    for _ in range(6):
        answers.append(write(bot))
        github.wait(61)
    assert answers == [201] * 5 + [403]
    github.wait(3600)
    assert write(bot) == 201


def test_what_has_not_changed_is_304_and_free(start: Start) -> None:
    bot = start().as_user("bot")
    first = bot.get("labels")
    for form in (first.headers["etag"], first.headers["etag"].removeprefix("W/")):
        again = bot.get("labels", headers={"If-None-Match": form})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["x-ratelimit-remaining"] == first.headers["x-ratelimit-remaining"]
    bot.post("labels", json={"name": "new"})
    assert bot.get("labels", headers={"If-None-Match": first.headers["etag"]}).status_code == 200
