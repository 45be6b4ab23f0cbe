"""Plans, journal, leases, gate, undo, sweeper and audit over one ledger database.

The engine knows neither Prefect nor any outside system: effects are handed to it.
"""
