"""The ledger's migrations (Alembic): ``versions`` has one module per schema version, named after it."""
