"""From a log to a class with its evidence: reading, scanning, choosing the first cause.

What does not belong here: fetching logs (clients) and deciding what to do about them (decisions).
"""
