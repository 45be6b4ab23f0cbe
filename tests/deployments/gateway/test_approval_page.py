"""The approval page over HTTP: what it shows, what it refuses, and that nothing secret leaves it."""

import logging
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from runbook.decisions.approval import Verdict
from runbook.engine.executions import Requester
from runbook.engine.page_decisions import LOCK_SECONDS, REFUSALS_BEFORE_LOCK, page_decisions
from runbook.engine.plan import Plan, PlanView, Table
from runbook.engine.plans import StoredPlan
from runbook.engine.schema import PageDecisionRow, PlanRow
from runbook.engine.states import PlanState, RequesterKind
from runbook.errors import Transient
from tests.deployments.gateway.page import ORIGIN, PRODUCT, Page, open_page
from tests.runbook.engine.conftest import REPOSITORY

WRONG = "000000"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    """The page with its people enrolled."""
    with open_page(tmp_path) as opened:
        yield opened


class Reader(HTMLParser):
    """Collects the tags, the attributes and the text of a page, as a browser finds them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(response: httpx.Response) -> Reader:
    """Read a page."""
    reader = Reader()
    reader.feed(response.text)
    return reader


# --- what it shows ---------------------------------------------------------------------------------------


def test_the_plan_is_shown_as_people_read_it(page: Page) -> None:
    plan = page.desk.show()
    response = page.get(plan.short_digest)
    assert response.status_code == 200
    text = read(response).text
    for effect in (each.load() for each in plan.plan.effects):
        assert effect.describe() in text
        assert effect.command_line()[0] in text
    for expected in (
        "Can it be undone?",
        "Blast radius",
        "If nobody acts",
        "dave",
        "alice, bob, carol",
        plan.digest,
    ):
        assert expected in text
    assert plan.expires_at.strftime("%Y-%m-%d %H:%M:%S") in text


@pytest.mark.parametrize("digits", ["0" * 16, "0" * 15, "zz" * 8, "%00" * 16, "é" * 16, "0" * 5000])
def test_an_unknown_digest_tells_nothing_more(page: Page, digits: str) -> None:
    page.desk.show()
    response = page.get(digits)
    assert response.status_code == 404
    assert "There is no such plan" in response.text
    assert response.text == page.get("f" * 64).text


@pytest.mark.parametrize("over", ["ended", "expired"])
def test_a_plan_that_waits_no_longer_looks_like_one_that_never_was(page: Page, over: str) -> None:
    plan = page.desk.show()
    token, code = page.token(plan), page.code()
    if over == "ended":
        page.desk.engine.plans.end(plan.id, PlanState.CANCELLED, reason="over")
    else:
        page.desk.clock.sleep(3600)
    never = page.get("f" * 64)
    assert page.get(plan.digest).text == never.text
    sent = page.ask(
        "POST",
        plan.digest,
        data={"token": token, "decision": "approve", "login": "alice", "code": code},
        headers={"Origin": ORIGIN},
    )
    assert (sent.status_code, sent.text) == (404, never.text)


HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e\x1b[31m{{7*7}} javascript:alert(1)'


def test_no_markup_of_the_plan_takes_effect_and_no_secret_is_shown(page: Page) -> None:
    effect = page.desk.clear().model_copy(update={"key": f"{HOSTILE} ghp_{'a' * 36}"})
    page.desk.engine.executions.begin(
        "e1",
        procedure="clear-caches",
        repository=REPOSITORY,
        subject="caches",
        request={},
        requester=Requester(RequesterKind.PERSON, HOSTILE),
    )
    texts = dict.fromkeys(("title", "why", "remedy", "blast_radius", "if_nobody_acts", "history"), HOSTILE)
    view = PlanView(**texts, tables=(Table(title=HOSTILE, columns=(HOSTILE,), rows=((HOSTILE,),)),))
    stored = page.desk.engine.plans.store(
        "e1",
        Plan.of(procedure="clear-caches", repository=REPOSITORY, effects=[effect]),
        view=view,
        expires_after_seconds=3600,
    )
    page.desk.engine.plans.placed(
        stored.id, issues_repository="a/b", issue_number=1, issue_url="javascript:alert(1)"
    )
    response = page.get(stored.digest)
    reader = read(response)
    assert response.status_code == 200
    assert not {"script", "img", "iframe", "object"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name.startswith("on") or name == "style"]
    assert [value for name, value in reader.attributes if name in ("href", "src")] == ["#decide"]
    assert "<script>alert(1)</script>" in reader.text, "it is shown as words"
    assert "{{7*7}}" in reader.text
    assert not {"\u202e", "\x1b"} & set(response.text)
    assert "ghp_" not in response.text


def test_what_a_person_typed_comes_back_as_words_and_the_code_does_not(page: Page) -> None:
    plan = page.desk.show()
    response = page.send(
        plan, code="123456", login=f'"><b>{HOSTILE}'[:60], reason="</textarea><script>x</script>"
    )
    assert response.status_code == 403
    assert not {"script", "b", "img"} & set(read(response).tags)
    assert "123456" not in response.text


def test_every_answer_carries_strict_headers_and_ships_no_script(page: Page) -> None:
    plan = page.desk.show()
    answers = [
        page.get(plan.digest),
        page.get("0" * 16),
        page.send(plan, code=WRONG),
        page.send(plan, headers={}),
        page.send(plan, decision="maybe"),
        page.send(plan),
    ]
    assert [one.status_code for one in answers] == [200, 404, 403, 403, 422, 200]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert "script" not in policy
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers
        assert "script" not in read(answer).tags


# --- deciding --------------------------------------------------------------------------------------------


def test_an_approval_is_recorded_opens_the_gate_and_wakes_the_run(page: Page) -> None:
    plan = page.desk.show()
    response = page.send(plan, reason="looks right")
    assert (response.status_code, page.woken) == (200, [plan.execution_id])
    assert "Your approval was recorded" in response.text
    assert page.desk.gate(plan).verdict is Verdict.APPROVED


def test_a_rejection_needs_a_reason_before_a_code_is_spent(page: Page) -> None:
    plan = page.desk.show()
    code = page.code()
    refused = page.send(plan, decision="reject", code=code, reason=" ")
    assert (refused.status_code, page.woken) == (422, [])
    assert page.send(plan, decision="reject", code=code, reason="wrong cache").status_code == 200
    decision = page.desk.gate(plan)
    assert (decision.verdict, decision.reason) == (Verdict.REJECTED, "rejected by alice: wrong cache")


def test_a_run_that_cannot_be_woken_loses_no_decision(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = page.desk.show()

    def away(_page: Page, _execution_id: str) -> None:
        raise Transient("Prefect is away")

    monkeypatch.setattr(Page, "wake", away)
    assert page.send(plan).status_code == 200
    assert len(page_decisions(page.desk.engine.ledger, plan.id)) == 1


def _reused(page: Page, plan: StoredPlan) -> httpx.Response:
    code = page.code()
    assert page.send(plan, decision="reject", reason="no", code=code).status_code == 200
    return page.send(plan, code=code)


def _other_plans(page: Page, plan: StoredPlan) -> httpx.Response:
    page.desk.engine.plans.end(plan.id, PlanState.VOIDED, reason="moved on")
    one = page.desk.show(page.desk.clear(), execution_id="e2")
    other = page.desk.show(page.desk.rerun(), execution_id="e3")
    code = page.code()
    assert page.send(one, decision="reject", reason="no", code=code).status_code == 200
    return page.send(other, code=code)


def _expired(page: Page, plan: StoredPlan) -> httpx.Response:
    code = page.code()
    page.desk.clock.sleep(60)
    return page.send(plan, code=code)


REFUSED: dict[str, Callable[[Page, StoredPlan], httpx.Response]] = {
    "wrong": lambda page, plan: page.send(plan, code=WRONG),
    "reused": _reused,
    "expired": _expired,
    "another plan's": _other_plans,
    "another person's": lambda page, plan: page.send(plan, code=page.code("bob")),
    "of nobody": lambda page, plan: page.send(plan, login="nobody-here", code=WRONG),
}


@pytest.mark.parametrize("attempt", REFUSED.values(), ids=REFUSED.keys())
def test_refusals_all_say_the_same(page: Page, attempt: Callable[[Page, StoredPlan], httpx.Response]) -> None:
    plan = page.desk.show()
    response = attempt(page, plan)
    assert response.status_code == 403
    assert "The name and the code do not fit, or the code was used." in response.text
    with page.desk.engine.ledger.read() as session:
        rows = session.scalars(select(PageDecisionRow.decision)).all()
    assert "approve" not in rows


@pytest.mark.parametrize(
    ("login", "requester", "why"),
    [
        ("mallory", "dave", "does not name its author"),
        ("bob", "bob", "whoever asked for the plan"),
        (PRODUCT, "dave", "own account never counts"),
    ],
)
def test_a_person_who_may_not_approve_is_told_why_after_a_right_code(
    page: Page, login: str, requester: str, why: str
) -> None:
    plan = page.desk.show(requester=Requester(RequesterKind.PERSON, requester))
    response = page.send(plan, login=login)
    assert (response.status_code, page.woken) == (403, [])
    assert why in response.text
    assert page.desk.gate(plan).verdict is Verdict.WAITING


def test_the_policy_in_force_now_says_who_may_approve(page: Page) -> None:
    plan = page.desk.show()
    page.rule = page.rule.model_copy(update={"approvers": ("bob",)})
    assert page.send(plan).status_code == 403
    assert page.send(plan, login="bob").status_code == 200


@pytest.mark.parametrize("login", ["alice", "nobody-here"])
def test_guessing_locks_a_name_enrolled_or_not_and_says_for_how_long(page: Page, login: str) -> None:
    plan = page.desk.show()
    for _ in range(REFUSALS_BEFORE_LOCK):
        assert page.send(plan, login=login, code=WRONG).status_code == 403
    locked = page.send(plan, login=login, code=page.code())
    assert (locked.status_code, locked.headers["retry-after"]) == (429, str(int(LOCK_SECONDS)))
    assert "Too many refusals" in locked.text
    assert page.send(plan, login="bob").status_code == 200


def test_with_nobody_enrolled_the_plan_is_shown_and_cannot_be_decided(tmp_path: Path) -> None:
    with open_page(tmp_path, enrolled=False) as page:
        plan = page.desk.show()
        shown = page.get(plan.digest)
        assert shown.status_code == 200
        assert "form" not in read(shown).tags
        assert "No approver is enrolled" in shown.text


def test_a_seeds_file_that_others_may_read_decides_nothing(
    page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    plan = page.desk.show()
    page.file.chmod(0o644)
    response = page.send(plan)
    assert response.status_code == 503
    assert "seeds.toml" not in response.text
    assert "others than its owner" in caplog.text
    assert page_decisions(page.desk.engine.ledger, plan.id) == ()


def test_a_ledger_that_is_away_is_503_and_nothing_is_decided(page: Page, tmp_path: Path) -> None:
    plan = page.desk.show()
    page.desk.engine.ledger.close()
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "ledger.db").mkdir()
    assert page.get(plan.digest).status_code == 503


# --- forged and broken requests --------------------------------------------------------------------------

FORGED: dict[str, dict[str, str]] = {
    "no origin at all": {},
    "another site": {"Origin": "https://evil.example"},
    "a sandboxed frame": {"Origin": "null"},
    "our name on another port": {"Origin": "http://testserver:8080"},
    "our name as a prefix": {"Origin": "http://testserver.evil.example"},
    "no scheme": {"Origin": "testserver"},
    "broken": {"Origin": "http://[testserver"},
    "cross-site": {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN},
    "same-site": {"Sec-Fetch-Site": "same-site", "Origin": ORIGIN},
    "typed": {"Sec-Fetch-Site": "none", "Origin": ORIGIN},
}


@pytest.mark.parametrize("headers", FORGED.values(), ids=FORGED.keys())
def test_a_form_from_elsewhere_is_refused_and_spends_no_code(page: Page, headers: dict[str, str]) -> None:
    plan = page.desk.show()
    code = page.code()
    assert page.send(plan, headers=headers, code=code).status_code == 403
    assert page_decisions(page.desk.engine.ledger, plan.id) == ()
    assert page.send(plan, code=code).status_code == 200


def test_a_browser_that_says_same_origin_may_leave_the_origin_null(page: Page) -> None:
    """That is what browsers send under a referrer policy of no-referrer."""
    plan = page.desk.show()
    assert page.send(plan, headers={"Sec-Fetch-Site": "same-origin", "Origin": "null"}).status_code == 200


def test_a_form_of_another_plan_or_of_an_hour_ago_or_made_up_is_refused(page: Page) -> None:
    one = page.desk.show(page.desk.clear(), execution_id="e2")
    other = page.desk.show(page.desk.rerun(), execution_id="e3")
    good, foreign = page.token(one), page.token(other)
    issued, _, mac = good.partition(".")
    forged = [foreign, f"{int(issued) + 1}.{mac}", f"{issued}.{mac[:-1]}", "", ".", f"{issued}.é", f"-{good}"]
    forged += [f"{'9' * 5000}.{mac}", f"\u0661.{mac}"]
    code = page.code()
    for token in forged:
        assert page.send(one, token=token, code=code).status_code == 403, token
    assert page_decisions(page.desk.engine.ledger, one.id) == ()
    assert page.send(one, token=good, code=code).status_code == 200
    page.desk.clock.sleep(30 * 60 + 1)
    old = page.send(other, token=foreign)
    assert (old.status_code, "too old" in old.text) == (403, True)


BODIES: dict[str, dict[str, Any]] = {
    "empty": {"content": b""},
    "json": {"json": {"decision": "approve"}},
    "multipart": {"files": {"decision": b"approve"}},
    "too large": {"data": {"reason": "x" * 20_000}},
    "many fields": {"content": "&".join(f"f{number}=1" for number in range(50))},
    "bytes": {"content": bytes(range(256)) * 4},
    "not utf-8": {"content": b"login=%ff%fe"},
    "twice": {"content": b"decision=approve&decision=reject&login=alice"},
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_a_broken_body_is_refused_without_an_error_of_ours(page: Page, body: dict[str, Any]) -> None:
    plan = page.desk.show()
    headers = {"Origin": ORIGIN}
    if "content" in body:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    response = page.ask("POST", plan.digest, headers=headers, **body)
    assert response.status_code in (400, 403)
    assert page_decisions(page.desk.engine.ledger, plan.id) == ()


def test_no_seed_and_no_code_is_in_any_log_answer_or_row(
    page: Page, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    plan = page.desk.show()
    code, bobs = page.code(), page.code("bob")
    answers = [
        page.send(plan, code=bobs),
        page.send(plan, code=code, reason=f"see {code}"),
        page.send(plan, code=code),
        page.send(plan, login="bob", code=bobs, decision="reject", reason="no"),
    ]
    page.desk.gate(plan)
    page.desk.engine.ledger.close()
    kept = b"".join(file.read_bytes() for file in tmp_path.glob("ledger.db*"))
    said = caplog.text + "".join(answer.text + str(answer.headers) for answer in answers)
    for secret in (*(seed.get_secret_value() for seed in page.seeds.values()), code, bobs):
        assert secret not in said
        assert secret.encode() not in kept


def test_a_plan_whose_comment_never_came_is_shown_here(page: Page) -> None:
    """GitHub went down before the plan's comment was written: the page still shows what waits."""
    plan = page.desk.show()
    with page.desk.engine.ledger.write() as session:
        session.get_one(PlanRow, plan.id).comment_id = None
    assert page.get(plan.digest).status_code == 200
