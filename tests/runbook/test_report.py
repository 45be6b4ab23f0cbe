"""R8 where people read: outside text stays plain words, secrets stay out, and GitHub takes the comment."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

import runbook.effects.catalogue  # noqa: F401 - plans load them
from runbook import report
from runbook.artifacts.findings import (
    CodeFinding,
    Coverage,
    FailedTest,
    FindingLevel,
    Findings,
    Vulnerability,
)
from runbook.assessment import Assessment
from runbook.decisions.approval import (
    GateDecision,
    Ignored,
    IgnoredComment,
    Verdict,
    parse_command,
)
from runbook.decisions.checklist import Answer, ChecklistAnswer, Evidence, Question
from runbook.decisions.severity import SeverityDecision
from runbook.effects.actions_caches import DeleteCacheEntries
from runbook.effects.actions_runs import RerunFailedJobs
from runbook.engine.audit import AuditHead
from runbook.engine.effects import Effect
from runbook.engine.engine import Ended, Outcome
from runbook.engine.entries import JournalEntry
from runbook.engine.plan import Plan, PlanView, Table
from runbook.engine.plans import StoredPlan
from runbook.engine.states import EffectState, PlanState, RequesterKind
from runbook.models import Job, RateLimit, RegistryProbe, RegistryState, Step, WorkflowRun
from runbook.policy import Severity
from runbook.scrub import PLACEHOLDER, register_secret
from runbook.triage.classes import FailureClass
from runbook.triage.classify import Classification, EvidenceLine

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
URL = "https://github.test/acme/voice-agent/actions/runs/42"
MOST_CHARACTERS = 65_536
MARKER_CHARACTERS = 300
"""What a record write adds to a text: its marker, and that it may be there twice."""

# --- samples, with one outside text in every place -------------------------------------------------------


def view(text: str, *, rows: int = 1) -> PlanView:
    """Return a view that says one text everywhere."""
    table = Table(title=text, columns=("Key", text), rows=((text, text),) * rows)
    return PlanView(
        title=text,
        why=text,
        remedy="r",
        blast_radius=text,
        if_nobody_acts=text,
        history=text,
        tables=(table,),
    )


def plan(text: str, *, effects: int = 1) -> Plan:
    """Return a plan of so many deletions and one re-run."""
    deletions: list[Effect] = [
        DeleteCacheEntries(repository="a/b", key=f"{text}{number}", ref=text, cache_ids=(number,))
        for number in range(effects)
    ]
    rerun = RerunFailedJobs(repository="a/b", run_id=42, failed_attempt=1, workflow_file=text)
    return Plan.of(procedure="clear-caches", repository="a/b", effects=[*deletions, rerun])


def stored(text: str, *, effects: int = 1, kind: RequesterKind = RequesterKind.PERSON) -> StoredPlan:
    """Return the same plan as the ledger has it."""
    made = plan(text, effects=effects)
    return StoredPlan(
        id="p1",
        digest=made.digest,
        execution_id="e1",
        plan=made,
        view=view(text),
        state=PlanState.WAITING,
        reason="",
        asks=0,
        issues_repository="a/b",
        issue_number=1,
        issue_url="u",
        comment_id=None,
        created_at=AT,
        expires_at=AT + timedelta(hours=1),
        requester="dave",
        requester_kind=kind,
        has_incident=False,
    )


def assessment(text: str, *, many: int = 1) -> Assessment:
    """Return an assessment that repeats one outside text, in every place, so often."""
    run = WorkflowRun(
        repository="a/b",
        id=42,
        run_attempt=1,
        name=text,
        display_title=text,
        path=f".github/workflows/{text}",
        workflow_id=1,
        event=text,
        status="completed",
        conclusion="failure",
        head_branch=text,
        head_sha="a" * 40,
        actor=text,
        triggering_actor=text,
        html_url=URL,
        created_at=AT,
        run_started_at=AT,
        updated_at=AT,
        pull_requests=(),
    )
    step = Step(number=1, name=text, status="completed", conclusion="failure")
    job = Job(
        id=1,
        run_id=42,
        run_attempt=1,
        name=text,
        status="completed",
        conclusion="failure",
        started_at=AT,
        completed_at=AT,
        html_url=URL,
        steps=(step,) * many,
    )
    line = EvidenceLine(file=text, line=1, text=text)
    found = Classification(
        failure_class=FailureClass.CACHE_CORRUPTION,
        confidence=0.9,
        first_cause=line,
        evidence=(line,) * many,
        summary=text,
        proposal=text,
        cache_keys=(text,),
        fingerprint="f",
        failing_step=text,
        exit_code=1,
    )
    answers = tuple(
        ChecklistAnswer(
            question=question,
            answer=Answer.YES,
            conclusion=text,
            evidence=(Evidence(text=text, url=URL), Evidence(text=text)) * many,
        )
        for question in Question
    )
    probe = RegistryProbe(
        registry=text,
        image=text,
        tag=text,
        state=RegistryState.UNREACHABLE,
        reason=text,
        retry_after_seconds=None,
    )
    return Assessment(
        run=run,
        jobs=(job,) * many,
        recent_runs=(run,) * many,
        classification=found,
        severity=SeverityDecision(severity=Severity.P0, rule=None, explanation=text),
        checklist=answers,
        findings=findings(text, many=many),
        rate_limits=(RateLimit(resource=text, limit=1, remaining=1, reset_at=AT),) * many,
        registry=probe,
        notes=(text,) * many,
        assessed_at=AT + timedelta(minutes=2),
    )


def findings(text: str, *, many: int = 1) -> Findings:
    """Return what reports name, saying one text everywhere."""
    test = FailedTest(suite=text, name=text, message=text, file=text, line=3, report=text)
    hole = Vulnerability(id=text, package=text, installed=text, fixed=text, report=text)
    code = CodeFinding(tool=text, rule=text, level=FindingLevel.ERROR, message=text, file=text, line=3)
    return Findings(
        failed_tests=(test,) * many,
        vulnerabilities=(hole,) * many,
        code_findings=(code,) * many,
        coverage=(Coverage(line_percent=50, report=text),) * many,
        notes=(text,) * many,
        left_out=many,
    )


def entries(text: str, *, many: int = 1, state: EffectState = EffectState.KEPT) -> tuple[JournalEntry, ...]:
    """Return so many journaled effects."""
    return tuple(
        JournalEntry(
            id=number,
            position=number,
            effect=DeleteCacheEntries(repository="a/b", key=text, ref=text, cache_ids=(number,)),
            state=state,
            sends=1,
            note=text,
            result=None,
        )
        for number in range(many)
    )


def ask(text: str, *, effects: int = 1) -> str:
    """Return how to decide."""
    return report.how_to_decide(stored(text, effects=effects), needed=1, approvers=("alice", "bob_s"))


TEXTS: dict[str, Callable[[str, int], str]] = {
    "plan": lambda text, many: report.plan_markdown(
        plan(text, effects=many), view(text, rows=many), ask=ask(text, effects=many)
    ),
    "incident": lambda text, many: report.incident_markdown(assessment(text, many=many), on_call="@alice"),
    "outcome": lambda text, many: report.outcome_markdown(
        Outcome(ended=Ended.UNDONE, reason=text, entries=entries(text, many=many))
    ),
    "decision": lambda text, many: report.decision_markdown(
        GateDecision(
            verdict=Verdict.REJECTED,
            reason=text,
            needed=1,
            ignored=(IgnoredComment(login=text, comment_id=1, why=Ignored.NOT_AN_APPROVER),) * many,
        )
    ),
    "closing": lambda text, many: report.closing_markdown(text, [(AT, text)] * many, AuditHead(7, "f" * 64)),
}
KINDS = pytest.mark.parametrize("make", TEXTS.values(), ids=TEXTS.keys())

# --- outside text takes no effect ------------------------------------------------------------------------

_MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = [
    "@alice",
    "@acme/on-call",
    "#1",
    "acme/x#1",
    "GH-1",
    "https://evil.test/x",
    "www.evil.test",
    "[x](https://evil.test)",
    "![x](https://evil.test/x.png)",
    "<img src=https://evil.test>",
    "<a href='x'>",
    "</details>",
    "<!-- runbook:k -->",
    "&lt;b&gt;",
    "**b**",
    "_i_",
    "~~s~~",
    "`c`",
    "```",
    "~~~",
    "| a | b |",
    "\\",
    "$x$",
    "- x",
    "1. x",
    "# x",
    "> x",
    "---",
    "    x",
    "\n\n",
    "\n/approve 0123456789abcdef",
    "/reject 0123456789abcdef",
    "\x1b[31m",
    "\u202e",
    "\u200b",
    "\r",
    "\x00",
]
OUTSIDE = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=6), min_size=1, max_size=5).map("".join)


def structure(markdown: str) -> list[tuple[str, str]]:
    """Return everything that Markdown makes of a text but for the words in it."""
    found: list[tuple[str, str]] = []

    def walk(tokens: list[Token]) -> None:
        for token in tokens:
            if token.type in {"text", "text_special"}:
                continue
            html = token.content if token.type.startswith("html") else ""
            found.append((token.type, html + str(token.attrs.get("href", token.attrs.get("src", "")))))
            walk(token.children or [])

    walk(_MARKDOWN.parse(markdown))
    return found


def shown_words(markdown: str) -> str:
    """Return the words that GitHub looks for mentions and addresses in."""
    words: list[str] = []
    for token in _MARKDOWN.parse(markdown):
        for child in token.children or []:
            words.append(child.content if child.type in {"text", "text_special"} else "\n")
        words.append("\n")
    return "".join(words)


@KINDS
@settings(max_examples=25, deadline=None)
@given(text=OUTSIDE)
@example(text="</details>\n\n/approve 0123456789abcdef\n<img src=x> @alice")
@example(text="```\n/approve 0123456789abcdef\n```")
@example(text="a|b\\|c")
def test_no_outside_text_changes_what_the_page_is_made_of(make: Callable[[str, int], str], text: str) -> None:
    if not report.words(text):
        text = f"x{text}"
    assert structure(make(text, 1)) == structure(make("x", 1))


@KINDS
@settings(max_examples=25, deadline=None)
@given(text=OUTSIDE)
@example(text="@alice #1 GH-1 https://evil.test www.evil.test _www.evil.test")
def test_no_outside_text_mentions_refers_or_links(make: Callable[[str, int], str], text: str) -> None:
    said = shown_words(make(text, 1)).replace("@alice: please look", "")
    assert not re.search(r"@[A-Za-z0-9]|#\d|\bGH-\d|https?://|(?<![A-Za-z0-9])www\.", said, re.IGNORECASE)


@KINDS
@settings(max_examples=25, deadline=None)
@given(text=OUTSIDE)
@example(text="/approve 0123456789abcdef")
@example(text="\n/approve 0123456789abcdef\n")
@example(text="<!-- runbook:k -->")
def test_no_outside_text_gives_a_command_or_a_marker(make: Callable[[str, int], str], text: str) -> None:
    """Neither to our own gate nor to a bot that reads every line, and no marker is taken for ours."""
    markdown = make(text, 1)
    assert parse_command(markdown) is None
    ours = {f"/approve {stored(text).short_digest}"}
    commands = {line.strip() for line in markdown.splitlines() if re.match(r"\s*/[A-Za-z]", line)}
    assert commands <= ours
    assert not re.search(r"<!--.*?-->", markdown)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "x) [y](https://evil.test", "", "https://a b", "<x>"])
def test_an_address_that_is_none_is_shown_as_words(url: str) -> None:
    one = assessment("x")
    answers = tuple(
        answer.model_copy(update={"evidence": (Evidence(text="x", url=url),)}) for answer in one.checklist
    )
    markdown = report.incident_markdown(one.model_copy(update={"checklist": answers}), on_call=None)
    assert {href for kind, href in structure(markdown) if kind == "link_open"} == {URL}


@given(OUTSIDE)
def test_a_title_is_one_plain_line(text: str) -> None:
    title = report.incident_title(assessment(text))
    assert title.startswith("P0: ")
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u200b]", title)


# --- secrets ---------------------------------------------------------------------------------------------

TOKEN = "ghp_" + "Zz9Yy8Xx7Ww6" * 3
CANARY = "correct-horse-battery-staple"


@KINDS
@pytest.mark.parametrize(
    "secret",
    [
        TOKEN,
        CANARY,
        f"{CANARY[:9]}\x1b[31m{CANARY[9:]}",
        f"{TOKEN[:12]}\u200b{TOKEN[12:]}",
        f"https://user:{CANARY}@host/x",
    ],
    ids=["token", "registered", "coloured", "broken unseen", "in an address"],
)
def test_no_secret_is_shown(make: Callable[[str, int], str], secret: str) -> None:
    """Also where a tool coloured a part of it: taking the colour out must not put the secret back."""
    register_secret(CANARY)
    said = make(f"before {secret} after", 1)
    unseen = re.sub("[\\\\\u200b]", "", said)
    assert CANARY not in unseen
    assert TOKEN not in unseen
    assert PLACEHOLDER in unseen
    assert CANARY not in report.incident_title(assessment(secret))


# --- size ------------------------------------------------------------------------------------------------

LONGEST_KEY = 512


@KINDS
@pytest.mark.parametrize(
    ("text", "many"),
    [
        ("pip-Linux-0f3a", 1),
        ("pip-Linux-0f3a", 1000),
        ("k" * LONGEST_KEY, 50),
        ("k" * LONGEST_KEY, 1000),
        ("#" * LONGEST_KEY, 1000),
        ("é@" * (LONGEST_KEY // 2), 60),
        ("w " * 30_000, 3),
    ],
    ids=["usual", "many", "long", "long and many", "escaped", "mentions", "huge"],
)
def test_every_text_fits_a_comment(make: Callable[[str, int], str], text: str, many: int) -> None:
    assert len(make(text, many)) <= MOST_CHARACTERS - MARKER_CHARACTERS


def test_a_plan_of_a_thousand_effects_says_what_is_left_out_and_where_the_whole_is() -> None:
    wanted = stored("pip", effects=1000)
    markdown = TEXTS["plan"]("pip", 1000)
    assert f"… and {1001 - report.MAX_ROWS} more" in markdown
    assert f"runbook journal --plan {wanted.short_digest}" in markdown
    assert f"Digest: `{wanted.digest}`" in markdown
    assert f"/approve {wanted.short_digest}" in markdown


def test_in_plan_mode_nothing_is_posted_and_so_nothing_is_left_out() -> None:
    """There is no ledger row to look the rest up in."""
    markdown = report.plan_markdown(plan("pip", effects=1000), view("pip", rows=1000))
    assert " more" not in markdown
    assert markdown.count("delete cache pip") == 1000


def test_commands_are_left_out_whole_never_cut() -> None:
    markdown = TEXTS["plan"]("k" * LONGEST_KEY, 1000)
    block = markdown.partition("```console\n")[2].partition("\n```")[0].splitlines()
    assert all(line.startswith(("gh ", "# …")) for line in block)
    assert block[-1].startswith("# …")
    assert all("k" * LONGEST_KEY in line for line in block[:-1])


def test_a_usual_plan_is_shown_whole() -> None:
    markdown = TEXTS["plan"]("pip", 40)
    assert " more" not in markdown
    assert markdown.count("gh api") == 40


def test_an_outcome_of_a_thousand_effects_counts_them_by_state() -> None:
    mixed = (*entries("k", many=999), *entries("k", state=EffectState.UNDONE))
    markdown = report.outcome_markdown(Outcome(ended=Ended.UNDONE, reason="red", entries=mixed))
    assert "999 kept" in markdown
    assert "1 undone" in markdown
    assert "runbook journal" in markdown


def test_a_long_timeline_keeps_its_beginning_and_its_end() -> None:
    lines = [(AT + timedelta(seconds=number), f"event {number}!") for number in range(1000)]
    markdown = report.closing_markdown("green", lines, AuditHead(7, "f" * 64))
    assert "event 0!" in markdown
    assert "event 999!" in markdown
    assert f"{1000 - report.MAX_ROWS} more" in markdown
    assert f"runbook audit verify --head {'f' * 64}" in markdown


def test_a_cut_text_ends_in_an_ellipsis_and_is_cut_after_it_was_scrubbed() -> None:
    register_secret(CANARY)
    said = report.words("x" * 995 + CANARY + "y" * 50)
    assert said.endswith("…")
    assert CANARY[:5] not in said


# --- what it says ----------------------------------------------------------------------------------------


def test_a_plan_shows_what_people_need_to_decide() -> None:
    wanted = stored("pip")
    markdown = report.plan_markdown(wanted.plan, wanted.view, ask=ask("pip"))
    for part in (
        "What will be done",
        "cannot be put back",
        "Blast radius",
        "If nobody acts",
        "This remedy before",
        "gh run rerun 42 --failed",
        f"/reject {wanted.short_digest} reason",
        "expires at 2026-03-02 10:00:00",
    ):
        assert part in markdown


@pytest.mark.parametrize(
    ("kind", "needed", "part"),
    [
        (RequesterKind.PERSON, 1, "1 of alice"),
        (RequesterKind.UNNAMED, 2, "one approver more than usual"),
        (RequesterKind.SCHEDULE, 0, "nobody need approve"),
    ],
)
def test_how_to_decide_says_how_many_of_whom(kind: RequesterKind, needed: int, part: str) -> None:
    said = report.how_to_decide(stored("x", kind=kind), needed=needed, approvers=("alice", "bob"))
    assert part in said
    assert "@" not in said


@pytest.mark.parametrize(
    ("ended", "head"),
    [
        (Ended.DONE, "Done and verified"),
        (Ended.UNDONE, "Not verified: undone"),
        (Ended.NEEDS_PERSON, "A person is needed"),
    ],
)
def test_an_outcome_names_what_stays_changed_unless_it_is_done(ended: Ended, head: str) -> None:
    state = EffectState.CONFIRMED if ended is Ended.DONE else EffectState.KEPT
    markdown = report.outcome_markdown(Outcome(ended=ended, reason="r", entries=entries("k", state=state)))
    assert markdown.startswith(f"### {head}")
    assert ("What stays as it is now" in markdown) == (ended is not Ended.DONE)


def test_an_incident_mentions_on_call_and_answers_the_five_questions() -> None:
    markdown = report.incident_markdown(assessment("x"), on_call="@acme/on-call")
    assert markdown.startswith("@acme/on-call: please look.")
    assert all(question.text.rstrip("?") in markdown for question in Question)
    assert "Assessed 2.0 minutes after the failure." in markdown


def test_a_sparse_incident_has_no_empty_sections() -> None:
    full = assessment("x")
    found = full.classification.model_copy(update={"first_cause": None, "evidence": ()})
    changes: dict[str, Any] = {
        "classification": found,
        "recent_runs": (),
        "jobs": (),
        "rate_limits": (),
        "registry": None,
        "notes": (),
    }
    markdown = report.incident_markdown(full.model_copy(update=changes), on_call=None)
    assert "First cause" not in markdown
    assert "Evidence" not in markdown
    assert "Failed jobs (steps), 0 of 0: none" in markdown
    assert "\n\n\n" not in markdown


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("It broke", "Fix it."), "It broke. Fix it."),
        (("Really?", "", "Yes!"), "Really? Yes!"),
        (("", ""), ""),
    ],
)
def test_texts_are_joined_as_sentences(texts: tuple[str, ...], said: str) -> None:
    assert report.sentences(*texts) == said


def test_an_incident_names_the_time_that_the_policy_wants_and_when_a_limit_ends() -> None:
    full = assessment("x")
    limited = full.classification.model_copy(update={"rate_limit_reset_at": AT + timedelta(hours=1)})
    changes = {"classification": limited, "wanted_within_minutes": 5.0}
    markdown = report.incident_markdown(full.model_copy(update=changes), on_call=None)
    assert "The policy wants it within 5." in markdown
    assert "ends at 2026-03-02 10:00:00" in markdown


def test_an_incident_names_what_the_reports_name() -> None:
    shown = report.incident_markdown(assessment("x"), on_call=None)
    assert "| x::x | x | x:3 |" in shown
    assert "| unknown | x | x | x | x |" in shown
    assert "| error | x: x | x | x:3 |" in shown
    assert "Coverage: 50.0 % of the lines (x)" in shown
