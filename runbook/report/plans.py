"""A plan as people review it, and how they decide about it.

What the plan's own comment cannot hold stands in comments before it, so that everybody who may approve a plan on
GitHub can read all of it there.
"""

from collections.abc import Iterable, Sequence

from runbook.decisions.automatic import AutomaticDecision
from runbook.engine.effects import Effect
from runbook.engine.plan import Plan, PlanView, Table
from runbook.engine.plans import StoredPlan
from runbook.engine.states import RequesterKind
from runbook.report.text import (
    MOST_CHARACTERS,
    WHOLE,
    Size,
    and_more,
    fitting,
    fitting_size,
    is_whole,
    markdown_table,
    utc_time,
    words,
)
from runbook.scrub import markdown_code_block, scrub, shell_quote

_MOST_OF_ASK = 5_000
"""Characters that say how to decide."""

_MOST_OF_PLAN = MOST_CHARACTERS - _MOST_OF_ASK - 500
"""Characters of a plan's own comment without what is added once its size is known: the ask, and where the rest is."""

_MOST_OF_PAGE = MOST_CHARACTERS - 500
"""Characters of the effects in one of several comments, beside its head."""

_IN_FULL = Size(1, 10_000)
"""How much of an effect's description those comments show: all that an outside system lets anybody write."""


def plan_markdown(plan: Plan, view: PlanView, *, ask: str = "", rest: int = 0) -> str:
    """Render a plan as people review it.

    Args:
        plan: What would be done.
        view: What is shown beside it.
        ask: How to decide, from :func:`how_to_decide`; empty in plan mode.
        rest: How many comments of :func:`plan_rest_markdown` stand above this one.
    """
    effects = _load(plan)
    # Without an ask it is plan mode: nothing is posted, and no ledger could list what is left out.
    size = _size_of_first(plan, effects, view) if ask else WHOLE
    return _plan(plan, effects, view, size, ask=ask, above=_above(rest, len(effects)))


def plan_rest_markdown(plan: Plan, view: PlanView) -> tuple[str, ...]:
    """Render every effect with its command line, in full, where the plan's own comment cannot.

    Decisions count only after the plan's own comment, so these are posted before it.

    Args:
        plan: What would be done.
        view: What is shown beside it; it takes room in the plan's own comment.

    Returns:
        The comments, in order; none where the plan's own comment shows every effect whole.
    """
    effects = _load(plan)
    if _shown_whole(effects, _size_of_first(plan, effects, view)) == len(effects):
        return ()
    whole = _journal(plan)
    pages = _pages([_in_full(number, effect, whole) for number, effect in enumerate(effects, start=1)])
    comments: list[str] = []
    first = 1
    for page, blocks in enumerate(pages, start=1):
        last = first + len(blocks) - 1
        comments.append(
            f"### Plan `{plan.digest[:16]}`, continued ({page} of {len(pages)})\n\n"
            f"Effects {first} to {last} of {len(effects)}, each with the command that does the same by hand. "
            "The plan's own comment follows; a decision written before it does not count.\n\n"
            + "\n\n".join(blocks)
        )
        first = last + 1
    return tuple(comments)


def why_automatic(decision: AutomaticDecision) -> str:
    """Say that a plan is applied without a person, or why it waits for one although its class need not.

    Args:
        decision: What was decided; its reason is not empty.
    """
    if decision.automatic:
        return f"**Applied without a person:** {words(decision.reason)}. Who wants to stop it, rejects it."
    return f"**It waits for a person:** {words(decision.reason)}."


def how_to_decide(
    plan: StoredPlan, *, needed: int, approvers: Iterable[str], resume_counts: bool = False
) -> str:
    """Say who may decide, how, and until when.

    Args:
        plan: The plan.
        needed: How many must approve.
        approvers: The logins that may.
        resume_counts: The policy lets a resume in Prefect count (``prefect_resume = "counts"``).
    """
    names = tuple(approvers)
    people = f"{needed} of" if needed else "nobody need approve; these may reject:"
    unnamed = (
        " Nobody can tell who asked for it, so one approver more than usual is needed."
        if plan.requester_kind is RequesterKind.UNNAMED
        else ""
    )
    resume = (
        " Resuming the run in Prefect counts here as one unnamed approval, whoever or whatever resumes it."
        if resume_counts and needed == 1  # beside a person's approval it is no second one
        else ""
    )

    def render(size: Size) -> str:
        who = ", ".join(words(name, size) for name in names[: size.rows]) + and_more(len(names) - size.rows)
        return (
            f"**Decision needed:** {people} {who}.{unnamed} Comment, as the first line:\n\n"
            f"```\n/approve {plan.short_digest}\n```\n\nor `/reject {plan.short_digest} reason`. "
            f"An edited comment does not count.{resume} The plan expires at {utc_time(plan.expires_at)}."
        )

    return fitting(render, most=_MOST_OF_ASK)


# --- the plan's own comment ---


def _load(plan: Plan) -> list[Effect]:
    return [effect.load() for effect in plan.effects]


def _journal(plan: Plan) -> str:
    return f"runbook journal --plan {plan.digest[:16]}"


def _above(rest: int, effects: int) -> str:
    if not rest:
        return ""
    comments = "comment above lists" if rest == 1 else f"{rest} comments above list"
    return f"**The {comments} all effects** ({effects}), each with its command line; this one shows a part of them."


def _size_of_first(plan: Plan, effects: Sequence[Effect], view: PlanView) -> Size:
    """Return the size of a plan's own comment; it depends on nothing that is known only after the rest is."""
    return fitting_size(lambda size: _plan(plan, effects, view, size), most=_MOST_OF_PLAN)


def _shown_whole(effects: Sequence[Effect], size: Size) -> int:
    """Return how many effects, from the first on, a plan's own comment of this size shows in full."""
    with_command = effects[: len(_lines_that_fit(effects, size))]
    cut = (
        position
        for position, effect in enumerate(with_command)
        if not (is_whole(effect.describe(), size) and is_whole(effect.no_undo, size))
    )
    return next(cut, len(with_command))


def _plan(
    plan: Plan, effects: Sequence[Effect], view: PlanView, size: Size, *, ask: str = "", above: str = ""
) -> str:
    whole = _journal(plan)
    rows = [
        (str(number), words(effect.describe(), size), words(effect.no_undo or "yes", size))
        for number, effect in enumerate(effects[: size.rows], start=1)
    ]
    columns = ("#", "What will be done", "Can it be undone?")
    parts = [
        f"### Plan `{plan.digest[:16]}`: {words(view.title, size)}",
        words(view.why, size),
        above,
        markdown_table(columns, rows, left_out=len(effects) - len(rows), whole=whole),
        *(f"**{words(t.title, size)}**\n\n{_view_table(t, size)}" for t in view.tables),
        f"- **Blast radius:** {words(view.blast_radius, size)}",
        f"- **If nobody acts:** {words(view.if_nobody_acts, size)}",
        f"- **This remedy before:** {words(view.history, size)}" if view.history else "",
        "<details><summary>The same by hand</summary>\n\n"
        + markdown_code_block(_commands(effects, whole, size), language="console")
        + "\n</details>",
        f"Digest: `{plan.digest}`",
        ask,
    ]
    return "\n\n".join(part for part in parts if part)


def _commands(effects: Sequence[Effect], whole: str, size: Size) -> str:
    lines = _lines_that_fit(effects, size)
    if len(lines) < len(effects):
        lines.append(f"# … and {len(effects) - len(lines)} more: {whole}")
    return "\n".join(lines)


def _lines_that_fit(effects: Sequence[Effect], size: Size) -> list[str]:
    """Return the equivalent lines that fit, each of them whole: half a command is a wrong one."""
    most = size.rows * size.characters // 2
    lines: list[str] = []
    for effect in effects[: size.rows]:
        line = _command_line(effect)
        most -= len(line)
        if most < 0:
            break
        lines.append(line)
    return lines


def _command_line(effect: Effect) -> str:
    return scrub(" ".join(map(shell_quote, effect.command_line())))


def _view_table(table: Table, size: Size) -> str:
    rows = [[words(cell, size) for cell in row] for row in table.rows[: size.rows]]
    columns = [words(column, size) for column in table.columns]
    return markdown_table(columns, rows, left_out=len(table.rows) - len(rows))


# --- the comments before it ---


def _in_full(number: int, effect: Effect, whole: str) -> str:
    description = effect.describe()
    said = words(description, _IN_FULL)
    if not is_whole(description, _IN_FULL):
        said += f" (`{whole}` shows all of it)"
    # By itself and not in a list or a table: an effect and its command are read together, and none is cut.
    undo = f"no: {words(effect.no_undo, _IN_FULL)}" if effect.no_undo else "yes"
    text = f"**{number}.** {said}\n\nCan it be undone? {undo}\n\n"
    line = _command_line(effect)
    block = text + markdown_code_block(line, language="console")
    if len(block) <= _MOST_OF_PAGE:
        return block
    return f"{text}Its command line has {len(line)} characters and fits no comment: `{whole}` shows it."


def _pages(blocks: Sequence[str]) -> list[list[str]]:
    pages: list[list[str]] = [[]]
    used = 0
    for block in blocks:
        if pages[-1] and used + len(block) > _MOST_OF_PAGE:
            pages.append([])
            used = 0
        pages[-1].append(block)
        used += len(block) + len("\n\n")
    return pages
