"""Bringing a ledger of an older version up to this program's: waiting plans are kept."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, update

from runbook.engine.schema import SCHEMA_VERSION, MetaRow

FIRST_VERSION = 1
"""What the first release made, before there were migrations."""


def migrate(connection: Connection, *, found: int) -> None:
    """Run the migrations that a ledger lacks, in the caller's transaction.

    Args:
        connection: The ledger, in a writing transaction.
        found: Its schema version.
    """
    config = Config()
    config.set_main_option("script_location", "runbook.engine:migrations")
    config.attributes["connection"] = connection
    if found > FIRST_VERSION:
        command.stamp(config, f"{found:04d}")  # it may have been made at that version, not migrated to it
    command.upgrade(config, "head")
    connection.execute(update(MetaRow).values(schema_version=SCHEMA_VERSION))
