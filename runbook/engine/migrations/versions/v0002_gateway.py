"""What the gateway keeps (deliveries, page decisions, refused codes), how far an incident is resolved, and indexes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = None  # schema version 1 is what the first release made


def upgrade() -> None:
    """Add the tables, to incidents and attempts what an incident's end depends on, and an index for each look-up."""
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("tries", big, nullable=False),
        sa.Column("received_at", sa.String(32), nullable=False),
        sa.Column("due_at", sa.String(32), nullable=False),
        sa.Column("handled_at", sa.String(32)),
    )
    op.create_index("deliveries_by_state", "deliveries", ["state", "due_at"])
    op.create_index("ix_deliveries_key", "deliveries", ["key"])
    op.create_table(
        "page_decisions",
        sa.Column("id", big, primary_key=True),
        sa.Column("plan_id", sa.Text(), sa.ForeignKey("plans.id"), nullable=False),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("code_step", big, nullable=False),
        sa.Column("decided_at", sa.String(32), nullable=False),
        sa.UniqueConstraint("login", "code_step", name="a_code_counts_once"),
    )
    op.create_index("ix_page_decisions_plan_id", "page_decisions", ["plan_id"])
    op.create_table(
        "page_refusals",
        sa.Column("id", big, primary_key=True),
        sa.Column("login", sa.Text(), nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
    )
    op.create_index("page_refusals_by_login", "page_refusals", ["login", "at"])
    op.add_column("executions", sa.Column("request_digest", sa.Text(), nullable=False, server_default=""))
    op.add_column("incidents", sa.Column("scope", sa.Text(), nullable=False, server_default=""))
    op.add_column("attempts", sa.Column("resolved_at", sa.String(32)))
    op.create_index("ix_attempts_execution_id", "attempts", ["execution_id"])
    op.create_index("ix_audit_subject", "audit", ["subject"])
    op.create_index("effects_by_kind", "effects", ["kind", "claimed_at"])
    op.create_index("ix_executions_incident_id", "executions", ["incident_id"])
    op.create_index("executions_by_requester", "executions", ["requester", "started_at"])
    op.create_index("incidents_by_state", "incidents", ["state", "repository", "closed_at"])
    op.create_index("incidents_by_time", "incidents", ["repository", "fingerprint", "opened_at"])
    op.create_index("ix_plans_digest", "plans", ["digest"])
