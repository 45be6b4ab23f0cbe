"""The approval page in a real browser: with a mouse, with a keyboard alone, on a phone, in the dark."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator
from playwright.sync_api import Page as Tab

from runbook.decisions.approval import Verdict
from runbook.engine.page_decisions import LOCK_SECONDS, REFUSALS_BEFORE_LOCK, page_decisions
from runbook.engine.plans import StoredPlan
from runbook.one_time_codes import STEP_SECONDS
from tests.deployments.gateway.page import Page

pytestmark = pytest.mark.integration

PHONE = {"width": 390, "height": 844}
SMALLEST_CONTROL_PIXELS = 44
"""Of a control that a finger is to hit."""


@pytest.fixture
def plan(page: Page) -> StoredPlan:
    """A plan that waits."""
    return page.desk.show()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser's console complained about: a style or script that the policy forbids, say."""
    return []


@pytest.fixture
def tab(browser: Browser, complaints: list[str]) -> Iterator[Tab]:
    """A tab in which no script could run, on a desktop."""
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1100, "height": 900})
    opened = context.new_page()

    def heard(message: ConsoleMessage) -> None:
        # The console also notes every answer that is not 200.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            complaints.append(message.text)

    opened.on("console", heard)
    yield opened
    context.close()
    assert complaints == []


def shots(tmp_path: Path) -> Path:
    """Where pictures go: RUNBOOK_SCREENSHOTS, if somebody wants to look at them."""
    folder = Path(os.environ.get("RUNBOOK_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fill(tab: Tab, *, login: str, code: str, decision: str = "Approve", reason: str = "") -> None:
    """Fill the form and send it, with the mouse."""
    tab.get_by_label(decision, exact=True).check()
    tab.get_by_label("Reason").fill(reason)
    tab.get_by_label("GitHub login").fill(login)
    tab.get_by_label("One-time code").fill(code)
    tab.get_by_role("button", name="Send the decision").click()


def test_approve(page: Page, address: str, tab: Tab, plan: StoredPlan) -> None:
    tab.goto(f"{address}/approve/{plan.short_digest}")
    assert tab.get_by_role("heading", level=1).inner_text() == plan.view.title
    fill(tab, login="alice", code=page.code("alice"))
    assert "Your approval was recorded" in tab.inner_text("h1")
    assert page.woken == [plan.execution_id]
    assert page.desk.gate(plan).verdict is Verdict.APPROVED


def test_reject_with_a_reason(page: Page, address: str, tab: Tab, plan: StoredPlan) -> None:
    tab.goto(f"{address}/approve/{plan.digest}")
    code = page.code("bob")
    fill(tab, login="bob", code=code, decision="Reject")
    assert "A rejection needs a reason" in tab.get_by_role("alert").inner_text()
    assert tab.get_by_label("Reject", exact=True).is_checked(), "what was chosen stays chosen"
    fill(tab, login="bob", code=code, decision="Reject", reason="wrong cache")
    assert "Your rejection was recorded" in tab.inner_text("h1")
    assert page.desk.gate(plan).reason == "rejected by bob: wrong cache"


def test_a_wrong_and_a_reused_code_are_refused_alike(page: Page, address: str, tab: Tab) -> None:
    one = page.desk.show(page.desk.clear(), execution_id="e2")
    other = page.desk.show(page.desk.rerun(), execution_id="e3")
    code = page.code("alice")
    tab.goto(f"{address}/approve/{one.digest}")
    fill(tab, login="alice", code="000000")
    wrong = tab.get_by_role("alert").inner_text()
    assert tab.get_by_label("GitHub login").input_value() == "alice"
    assert tab.get_by_label("One-time code").input_value() == ""
    fill(tab, login="alice", code=code)
    assert "Your approval was recorded" in tab.inner_text("h1")
    tab.goto(f"{address}/approve/{other.digest}")
    fill(tab, login="alice", code=code)
    assert tab.get_by_role("alert").inner_text() == wrong
    assert page_decisions(page.desk.engine.ledger, other.id) == ()
    page.desk.clock.sleep(2 * STEP_SECONDS)
    fill(tab, login="alice", code=page.code("alice"))
    assert "Your approval was recorded" in tab.inner_text("h1")


def test_guessing_locks_the_name(page: Page, address: str, tab: Tab, plan: StoredPlan) -> None:
    tab.goto(f"{address}/approve/{plan.digest}")
    for _ in range(REFUSALS_BEFORE_LOCK):
        fill(tab, login="alice", code="000000")
        assert "Not accepted" in tab.get_by_role("alert").inner_text()
    fill(tab, login="alice", code=page.code("alice"))
    assert "Too many refusals" in tab.get_by_role("alert").inner_text()
    assert page.woken == []
    page.desk.clock.sleep(LOCK_SECONDS)
    fill(tab, login="alice", code=page.code("alice"))
    assert "Your approval was recorded" in tab.inner_text("h1")


def test_with_the_keyboard_alone(page: Page, address: str, tab: Tab, plan: StoredPlan) -> None:
    tab.goto(f"{address}/approve/{plan.digest}")
    radio = tab.get_by_label("Approve", exact=True)
    tab_to(tab, radio)
    assert outlined(radio), "one can see where one is"
    tab.keyboard.press("Space")
    assert radio.is_checked()
    tab.keyboard.press("Tab")
    tab.keyboard.type("by keyboard")
    tab.keyboard.press("Tab")
    tab.keyboard.type("alice")
    tab.keyboard.press("Tab")
    tab.keyboard.type(page.code("alice"))
    tab.keyboard.press("Enter")
    tab.wait_for_selector("text=Your approval was recorded")
    assert page_decisions(page.desk.engine.ledger, plan.id)[0].reason == "by keyboard"


def test_enter_in_an_empty_form_decides_nothing(page: Page, address: str, tab: Tab, plan: StoredPlan) -> None:
    tab.goto(f"{address}/approve/{plan.digest}")
    tab.get_by_label("GitHub login").fill("alice")
    tab.get_by_label("One-time code").fill(page.code("alice"))
    tab.keyboard.press("Enter")
    assert tab.get_by_role("button", name="Send the decision").is_visible()
    assert page_decisions(page.desk.engine.ledger, plan.id) == ()


def test_another_sites_form_decides_nothing(page: Page, address: str, tab: Tab, plan: StoredPlan) -> None:
    tab.goto(f"{address}/approve/{plan.digest}")
    token = tab.locator("input[name=token]").input_value()
    fields = {"token": token, "decision": "approve", "login": "alice", "code": page.code("alice")}
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    tab.set_content(
        f'<iframe srcdoc=\'<form method="post" action="{address}/approve/{plan.digest}" target="_top">{inputs}'
        '<button>Win</button></form>\' sandbox="allow-forms allow-top-navigation"></iframe>'
    )
    tab.frame_locator("iframe").get_by_role("button").click()
    tab.wait_for_selector("text=This form came from elsewhere")
    assert page_decisions(page.desk.engine.ledger, plan.id) == ()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(page: Page, address: str, browser: Browser, tmp_path: Path, scheme: str) -> None:
    plan = page.show_at_length()
    context = browser.new_context(
        viewport=PHONE,  # type: ignore[arg-type] # playwright's own typed dictionary
        device_scale_factor=2,
        is_mobile=True,
        has_touch=True,
        color_scheme=scheme,  # type: ignore[arg-type] # one of its literals
    )
    tab = context.new_page()
    tab.goto(f"{address}/approve/{plan.digest}")
    tab.screenshot(path=shots(tmp_path) / f"approval-phone-{scheme}.png", full_page=True)
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], (
        "nothing to scroll sideways"
    )
    for control in (
        *tab.locator("label.choice").all(),
        *tab.locator("input[type=text], textarea, button").all(),
    ):
        box = control.bounding_box()
        assert box is not None
        assert box["height"] >= SMALLEST_CONTROL_PIXELS
    tab.get_by_role("link", name="Go to the decision").tap()
    tab.get_by_label("Approve", exact=True).tap()
    tab.get_by_label("GitHub login").fill("alice")
    tab.get_by_label("One-time code").fill("000000")
    tab.get_by_role("button", name="Send the decision").tap()
    tab.wait_for_selector("text=Not accepted")
    tab.screenshot(path=shots(tmp_path) / f"approval-phone-{scheme}-refused.png")
    context.close()


def tab_to(tab: Tab, wanted: Locator) -> None:
    """Press Tab until a control has the focus."""
    for _ in range(40):
        tab.keyboard.press("Tab")
        if wanted.evaluate("control => control === document.activeElement"):
            return
    pytest.fail("the keyboard does not get there")


def outlined(control: Locator) -> bool:
    """Tell whether the focus can be seen."""
    return bool(control.evaluate("control => getComputedStyle(control).outlineStyle !== 'none'"))
