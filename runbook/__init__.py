"""All of the product that needs no Prefect: policy, facts, decisions, engine, ledger, clients.

What does not belong here: anything that imports Prefect, reads a terminal, or starts a process of its own.
"""
