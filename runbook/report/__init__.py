"""What people read: plans, incidents and their ends as Markdown for GitHub and for Prefect's artifacts.

Every word from outside passes ``neutralise_markdown`` or a code block here, and nowhere else (R8). A text that
would be too long for a comment is rendered again with fewer rows and shorter words, and says what it leaves out.
"""

from runbook.report.exceptions import exceptions_markdown
from runbook.report.incidents import (
    incident_markdown,
    incident_title,
    outage_markdown,
    untriaged_markdown,
)
from runbook.report.outcomes import closing_markdown, decision_markdown, outcome_markdown
from runbook.report.plans import how_to_decide, plan_markdown, plan_rest_markdown, why_automatic
from runbook.report.rollback_incidents import rollback_incident_markdown, rollback_incident_title
from runbook.report.rollbacks import candidates_table, rollback_tables
from runbook.report.text import MAX_ROWS, MOST_CHARACTERS, markdown_table, sentence, sentences, words
from runbook.report.versions import history_table, versions_table

__all__ = [
    "MAX_ROWS",
    "MOST_CHARACTERS",
    "candidates_table",
    "closing_markdown",
    "decision_markdown",
    "exceptions_markdown",
    "history_table",
    "how_to_decide",
    "incident_markdown",
    "incident_title",
    "markdown_table",
    "outage_markdown",
    "outcome_markdown",
    "plan_markdown",
    "plan_rest_markdown",
    "rollback_incident_markdown",
    "rollback_incident_title",
    "rollback_tables",
    "sentence",
    "sentences",
    "untriaged_markdown",
    "versions_table",
    "why_automatic",
    "words",
]
