"""What approvers read of a plan: every effect and command line whole, in its own comment or in those above it."""

import re
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from runbook import report
from runbook.decisions.approval import parse_command
from runbook.engine.plan import Plan
from runbook.engine.states import RequesterKind
from runbook.scrub import PLACEHOLDER, neutralise_markdown, register_secret
from tests.runbook.test_report import (
    CANARY,
    LONGEST_KEY,
    MARKER_CHARACTERS,
    MOST_CHARACTERS,
    OUTSIDE,
    TOKEN,
    ask,
    plan,
    shown_words,
    stored,
    structure,
    view,
)

MANY = report.MAX_ROWS + 5
"""Effects that one comment never shows."""

_MARKDOWN = MarkdownIt("commonmark")


def rest(text: str, *, effects: int = MANY, rows: int = 1) -> tuple[str, ...]:
    """Return the comments above a plan of so many deletions and a re-run."""
    return report.plan_rest_markdown(plan(text, effects=effects), view(text, rows=rows))


def read(comments: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return the number, description and command line of each effect, as GitHub shows them to an approver."""
    found: list[tuple[str, str]] = []
    for comment in comments:
        said = ""
        for token in _MARKDOWN.parse(comment):
            if token.type == "inline" and token.content.startswith("**"):
                said = "".join(child.content for child in token.children or []).replace("\u200b", "")
            elif token.type == "fence":
                found.append((said, token.content.rstrip("\n").replace("\u200b", "")))
    return found


def wanted(made: Plan) -> list[tuple[str, str]]:
    """Return the same of the effects themselves, whose texts need no scrubbing here."""
    effects = [effect.load() for effect in made.effects]
    return [
        (f"{number}. {' '.join(effect.describe().split())}", effect.command_line()[-1])
        for number, effect in enumerate(effects, start=1)
    ]


def assert_reads_whole(comments: tuple[str, ...], made: Plan) -> None:
    """Compare: the last word of a command line names what is deleted, and nothing comes after it."""
    shown, expected = read(comments), wanted(made)
    assert [said for said, _ in shown] == [said for said, _ in expected]
    assert all(
        line.replace("'", "").endswith(last) for (_, line), (_, last) in zip(shown, expected, strict=True)
    )


# --- everything can be read ------------------------------------------------------------------------------


@pytest.mark.parametrize(("deletions", "comments"), [(0, 0), (1, 0), (49, 0), (50, 1), (51, 1)])
def test_the_rest_begins_with_the_effect_after_the_rows_of_one_comment(deletions: int, comments: int) -> None:
    """A re-run comes after the deletions, so that 49 of them make 50 effects."""
    assert len(rest("pip", effects=deletions)) == comments


@pytest.mark.parametrize(
    ("text", "effects", "rows"),
    [
        ("pip", 50, 1),
        ("pip", 1000, 1),
        ("k" * LONGEST_KEY, 1000, 1),
        ("k" * LONGEST_KEY, 30, 1),
        ("k" * 450, 20, 1000),
        ("k" * 3_000, 1, 1),
        ("é@#" * 100, 30, 1),
        ("/", 60, 1),
    ],
    ids=[
        "one too many",
        "many",
        "long and many",
        "long command lines",
        "long tables",
        "one longer than usual",
        "escaped",
        "slashes",
    ],
)
def test_every_effect_is_read_whole_in_the_comments_above(text: str, effects: int, rows: int) -> None:
    comments = rest(text, effects=effects, rows=rows)
    assert_reads_whole(comments, plan(text, effects=effects))
    assert all(len(comment) <= report.MOST_CHARACTERS for comment in comments)


@settings(max_examples=25, deadline=None)
@given(
    effects=st.integers(0, 60),
    length=st.integers(1, 1_200),
    rows=st.sampled_from([1, 50, 400]),
    data=st.data(),
)
def test_an_effect_that_is_not_whole_in_the_plans_own_comment_is_in_one_above(
    effects: int, length: int, rows: int, data: st.DataObject
) -> None:
    """Whoever the approvers are: how much of the plan is shown must not hang on the length of the ask."""
    text = data.draw(st.sampled_from("k@é")) * length
    made, shown = plan(text, effects=effects), view(text, rows=rows)
    comments = report.plan_rest_markdown(made, shown)
    if comments:
        assert_reads_whole(comments, made)
        return
    approvers = [f"approver-{number}" for number in range(data.draw(st.integers(1, 300)))]
    how = report.how_to_decide(stored(text, effects=effects), needed=1, approvers=approvers)
    own = report.plan_markdown(made, shown, ask=how)
    lines = own.partition("```console\n")[2].partition("\n```")[0].splitlines()
    assert len(lines) == len(made.effects)
    assert not any(line.startswith("#") for line in lines)
    for effect in made.effects:
        assert f"| {neutralise_markdown(effect.load().describe())} |" in own


def test_command_lines_that_are_left_out_alone_are_enough_for_a_rest() -> None:
    text, effects = "k" * 300, 40
    own = report.plan_markdown(plan(text, effects=effects), view("x"), ask=ask(text, effects=effects))
    assert own.count("| delete cache") == effects
    assert "\n# … and " in own
    assert_reads_whole(
        report.plan_rest_markdown(plan(text, effects=effects), view("x")), plan(text, effects=effects)
    )


def test_a_thousand_effects_with_the_longest_keys_take_some_dozens_of_comments() -> None:
    """GitHub lets an account write some eighty a minute."""
    assert len(rest("pip-Linux-0f3a", effects=1000)) < 10
    assert 10 < len(rest("k" * LONGEST_KEY, effects=1000)) < 50


def test_the_comments_are_numbered_and_follow_each_other() -> None:
    comments = rest("k" * LONGEST_KEY, effects=200)
    digest = plan("k" * LONGEST_KEY, effects=200).digest[:16]
    spans = []
    for number, comment in enumerate(comments, start=1):
        assert comment.startswith(f"### Plan `{digest}`, continued ({number} of {len(comments)})\n")
        assert "a decision written before it does not count" in comment
        spans.append([int(digits) for digits in re.findall(r"Effects (\d+) to (\d+) of 201", comment)[0]])
    assert (spans[0][0], spans[-1][1]) == (1, 201)
    assert all(later[0] == earlier[1] + 1 for earlier, later in pairwise(spans))


def test_the_rest_is_the_same_each_time_it_is_made() -> None:
    """A flow that goes on after a crash posts what it had not posted."""
    assert rest("pip", effects=1000) == rest("pip", effects=1000)


def test_a_command_line_that_fits_no_comment_is_named_with_the_place_where_it_is_read() -> None:
    made = plan("k" * 40_000)
    one, two = report.plan_rest_markdown(made, view("x"))[0].split("**2.**")
    assert "characters and fits no comment" in one
    assert f"`runbook journal --plan {made.digest[:16]}` shows all of it" in one
    assert "console" not in one
    assert "gh run rerun" in two


@pytest.mark.parametrize(
    ("above", "said"),
    [
        (0, None),
        (1, "**The comment above lists all effects** (56), each with its command line"),
        (5, "**The 5 comments above list all effects** (56), each with its command line"),
    ],
)
def test_a_plan_says_where_the_rest_of_it_is(above: int, said: str | None) -> None:
    own = report.plan_markdown(
        plan("pip", effects=MANY), view("pip"), ask=ask("pip", effects=MANY), rest=above
    )
    assert ("above" in own) == (said is not None)
    assert said is None or said in own


@pytest.mark.parametrize("text", ["pip", "k" * LONGEST_KEY, "#" * LONGEST_KEY, "w " * 3_000])
def test_a_plan_with_everything_added_fits_a_comment(text: str) -> None:
    approvers = ["a" * 39] * 1000
    how = report.how_to_decide(
        stored(text, kind=RequesterKind.UNNAMED), needed=2, approvers=approvers, resume_counts=True
    )
    own = report.plan_markdown(plan(text, effects=MANY), view(text, rows=MANY), ask=how, rest=1000)
    assert len(own) <= MOST_CHARACTERS - MARKER_CHARACTERS
    assert how in own
    assert " more." in how


# --- and takes no effect ---------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(text=OUTSIDE)
@example(text="</details>\n\n/approve 0123456789abcdef\n<img src=x> @alice")
@example(text="```\n/approve 0123456789abcdef\n```")
@example(text="@alice #1 GH-1 https://evil.test www.evil.test <!-- runbook:k -->")
def test_no_outside_text_takes_effect_in_the_comments_above(text: str) -> None:
    comments, harmless = rest(text), rest("x")
    assert [structure(comment) for comment in comments] == [structure(comment) for comment in harmless]
    for comment in comments:
        assert not re.search(r"(?i)@[a-z0-9]|#\d|\bGH-\d|https?://|(?<![a-z0-9])www\.", shown_words(comment))
        assert parse_command(comment) is None
        assert not re.search(r"(?m)^\s*/[A-Za-z]", comment)
        assert not re.search(r"<!--.*?-->", comment)


@pytest.mark.parametrize(
    "secret", [TOKEN, CANARY, f"{CANARY[:9]}\x1b[31m{CANARY[9:]}", f"{TOKEN[:12]}\u200b{TOKEN[12:]}"]
)
def test_no_secret_is_shown_in_the_comments_above(secret: str) -> None:
    register_secret(CANARY)
    unseen = re.sub("[\\\\\u200b]", "", "".join(rest(f"before {secret} after")))
    assert CANARY not in unseen
    assert TOKEN not in unseen
    assert PLACEHOLDER in unseen


@pytest.mark.parametrize("before", [9_970, 9_980, 19_950, 19_980])
def test_no_part_of_a_secret_is_left_where_a_long_description_is_cut(before: int) -> None:
    register_secret(CANARY)
    said = "".join(rest(f"{'x' * before}{CANARY} after", effects=1))
    assert "shows all of it" in said
    assert CANARY[:5] not in said


# --- how to decide ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "needed", "said"), [(False, 1, False), (True, 1, True), (True, 2, False), (True, 0, False)]
)
def test_a_resume_is_named_where_it_counts_and_anything_must_be_counted(
    counts: bool, needed: int, said: bool
) -> None:
    how = report.how_to_decide(stored("x"), needed=needed, approvers=("alice",), resume_counts=counts)
    assert ("Resuming the run in Prefect counts here as one unnamed approval" in how) == said


def test_every_approver_is_named_of_as_many_as_a_policy_usually_has() -> None:
    approvers = [f"approver-{number}" for number in range(report.MAX_ROWS)]
    how = report.how_to_decide(stored("x"), needed=1, approvers=approvers)
    assert all(name in how for name in approvers)
    assert " more" not in how
