"""A stored plan as the approval page shows it: plain words, harmless and without secrets; HTML is the template's."""

import base64
import hashlib
import re
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from runbook.decisions.approval import approvals_needed
from runbook.engine.plan import Table
from runbook.engine.plans import StoredPlan
from runbook.engine.states import RequesterKind
from runbook.policy.approvals import ApprovalRule
from runbook.report.text import clean, utc_time
from runbook.scrub import scrub, shell_quote

_TEMPLATES = Environment(
    loader=PackageLoader("deployments.gateway"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_STYLE = resources.files("deployments.gateway").joinpath("templates/approval.css").read_text("utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_LINK = re.compile(r"https?://[^\s<>\"'`\\]+")

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; "
    f"style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}
"""What every answer of the page carries."""


@dataclass(frozen=True)
class ShownEffect:
    """One effect in words."""

    what: str
    undo: str
    command: str


@dataclass(frozen=True)
class ShownPlan:
    """A plan in words; every text is clean, none is markup."""

    digits: str
    digest: str
    procedure: str
    repository: str
    title: str
    why: str
    effects: tuple[ShownEffect, ...]
    tables: tuple[Table, ...]
    facts: tuple[tuple[str, str], ...]
    link: str


@dataclass(frozen=True)
class Notice:
    """What is said above a plan.

    Args:
        heading: In a few words.
        lines: What to do next.
    """

    heading: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShownForm:
    """The form, with what a person had typed; never the code."""

    action: str
    token: str
    max_reason: int
    decision: str = ""
    reason: str = ""
    login: str = ""


def shown_plan(plan: StoredPlan, rule: ApprovalRule) -> ShownPlan:
    """Put a plan in words.

    Args:
        plan: The plan.
        rule: The approval rule in force now.
    """
    view = plan.view
    loaded = [effect.load() for effect in plan.plan.effects]
    return ShownPlan(
        digits=plan.short_digest,
        digest=plan.digest,
        procedure=clean(plan.plan.procedure),
        repository=clean(plan.plan.repository),
        title=clean(view.title),
        why=clean(view.why),
        effects=tuple(
            ShownEffect(
                what=clean(effect.describe()),
                undo=f"no: {clean(effect.no_undo)}" if effect.no_undo else "yes",
                command=scrub(" ".join(map(shell_quote, effect.command_line()))),
            )
            for effect in loaded
        ),
        tables=tuple(
            Table(
                title=clean(table.title),
                columns=tuple(map(clean, table.columns)),
                rows=tuple(tuple(map(clean, row)) for row in table.rows),
            )
            for table in view.tables
        ),
        facts=_facts(plan, rule),
        link=plan.issue_url if _LINK.fullmatch(plan.issue_url) else "",
    )


def plan_page(plan: ShownPlan, *, form: ShownForm | None, notice: Notice | None = None) -> str:
    """Render a plan, with its form where it can be decided here.

    Args:
        plan: The plan in words.
        form: The form; None where nobody can decide on this page.
        notice: What is said above it.
    """
    return _render("plan.html", plan=plan, form=form, notice=notice)


def message_page(heading: str, *lines: str) -> str:
    """Render a page that only says something.

    Args:
        heading: In a few words.
        lines: The rest.
    """
    return _render("message.html", heading=heading, lines=lines)


def _render(template: str, **values: object) -> str:
    # The style is our own file, and its hash is what the browser is told to accept.
    return _TEMPLATES.get_template(template).render(style=Markup(_STYLE), **values)  # noqa: S704


def _facts(plan: StoredPlan, rule: ApprovalRule) -> tuple[tuple[str, str], ...]:
    unnamed = plan.requester_kind is RequesterKind.UNNAMED
    needed = approvals_needed(rule, unnamed=unnamed)
    people = ", ".join(map(clean, rule.approvers))
    who = f"{needed} of {people}" if needed else f"nobody need approve; these may reject: {people}"
    if unnamed:
        who += " (one more than usual: nobody can tell who asked for it)"
    asked = {
        RequesterKind.PERSON: clean(plan.requester or ""),
        RequesterKind.SCHEDULE: f"the schedule {clean(plan.requester or '')}",
        RequesterKind.PRODUCT: "the runbook itself",
        RequesterKind.UNNAMED: "nobody can tell",
    }[plan.requester_kind]
    facts = (
        ("Blast radius", clean(plan.view.blast_radius)),
        ("If nobody acts", clean(plan.view.if_nobody_acts)),
        ("This remedy before", clean(plan.view.history)),
        ("Asked for by", asked),
        ("Who may approve", f"{who}; whoever asked for it never counts"),
        ("Expires", f"{utc_time(plan.expires_at)} UTC"),
    )
    return tuple((term, text) for term, text in facts if text)
