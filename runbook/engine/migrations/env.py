"""How Alembic runs the migrations: on the connection, and in the transaction, that it is handed."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # SQLite alters a table by making it anew.
    render_as_batch=True,
    version_table="migrations",
)
context.run_migrations()
