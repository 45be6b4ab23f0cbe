"""A plan as people review it, and how they decide about it."""

from collections.abc import Iterable, Sequence

from runbook.engine.effects import Effect
from runbook.engine.plan import Plan, PlanView, Table
from runbook.engine.plans import StoredPlan
from runbook.engine.states import RequesterKind
from runbook.report.text import WHOLE, Size, fitting, markdown_table, utc_time, words
from runbook.scrub import markdown_code_block, scrub, shell_quote


def plan_markdown(plan: Plan, view: PlanView, *, ask: str = "") -> str:
    """Render a plan as people review it.

    Args:
        plan: What would be done.
        view: What is shown beside it.
        ask: How to decide, from :func:`how_to_decide`; empty in plan mode.
    """
    # Without an ask it is plan mode: nothing is posted, and no ledger could list what is left out.
    return fitting(lambda size: _plan(plan, view, ask, size)) if ask else _plan(plan, view, ask, WHOLE)


def how_to_decide(plan: StoredPlan, *, needed: int, approvers: Iterable[str]) -> str:
    """Say who may decide, how, and until when."""
    who = ", ".join(words(approver) for approver in approvers)
    people = f"{needed} of" if needed else "nobody need approve; these may reject:"
    unnamed = (
        " Nobody can tell who asked for it, so one approver more than usual is needed."
        if plan.requester_kind is RequesterKind.UNNAMED
        else ""
    )
    return (
        f"**Decision needed:** {people} {who}.{unnamed} Comment, as the first line:\n\n"
        f"```\n/approve {plan.short_digest}\n```\n\nor `/reject {plan.short_digest} reason`. "
        f"An edited comment does not count. The plan expires at {utc_time(plan.expires_at)}."
    )


def _plan(plan: Plan, view: PlanView, ask: str, size: Size) -> str:
    effects = [effect.load() for effect in plan.effects]
    whole = f"runbook journal --plan {plan.digest[:16]}"
    rows = [
        (str(number), words(effect.describe(), size), words(effect.no_undo or "yes", size))
        for number, effect in enumerate(effects[: size.rows], start=1)
    ]
    columns = ("#", "What will be done", "Can it be undone?")
    parts = [
        f"### Plan `{plan.digest[:16]}`: {words(view.title, size)}",
        words(view.why, size),
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
    """Return the equivalent lines that fit, each of them whole: half a command is a wrong one."""
    most = size.rows * size.characters // 2
    lines: list[str] = []
    for effect in effects[: size.rows]:
        line = scrub(" ".join(map(shell_quote, effect.command_line())))
        most -= len(line)
        if most < 0:
            break
        lines.append(line)
    if len(lines) < len(effects):
        lines.append(f"# … and {len(effects) - len(lines)} more: {whole}")
    return "\n".join(lines)


def _view_table(table: Table, size: Size) -> str:
    rows = [[words(cell, size) for cell in row] for row in table.rows[: size.rows]]
    columns = [words(column, size) for column in table.columns]
    return markdown_table(columns, rows, left_out=len(table.rows) - len(rows))
