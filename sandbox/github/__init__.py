"""The GitHub stand-in: REST over HTTP as documented, for triage, re-runs, caches, issues and approvals.

Belongs here: what GitHub answers and enforces. Does not: anything the product decides.
"""
