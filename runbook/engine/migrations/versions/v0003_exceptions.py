"""What is deliberately left abnormal, until when, and whose it is."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the table of exceptions; nothing that was there changes."""
    big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "exceptions",
        sa.Column("id", big, primary_key=True),
        sa.Column("execution_id", sa.Text(), sa.ForeignKey("executions.id"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("repository", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("incident_id", big, sa.ForeignKey("incidents.id")),
        sa.Column("effect_id", big, sa.ForeignKey("effects.id")),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("untold", sa.Text(), nullable=False),
        sa.Column("escalated", sa.Boolean(), nullable=False),
        sa.Column("seen_at", sa.String(32)),
        sa.Column("seen_where", sa.Text(), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.Column("deadline", sa.String(32), nullable=False),
        sa.Column("ended_at", sa.String(32)),
        sa.UniqueConstraint("execution_id", "kind", "subject", name="an_exception_is_added_once"),
    )
    op.create_index("exceptions_by_state", "exceptions", ["state", "deadline"])
    op.create_index("exceptions_by_subject", "exceptions", ["repository", "kind", "state"])
    for column in ("execution_id", "incident_id", "effect_id", "untold"):
        op.create_index(f"ix_exceptions_{column}", "exceptions", [column])
