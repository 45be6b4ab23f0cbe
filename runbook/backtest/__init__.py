"""What the product would have done on a repository's own history: read once, replayed and judged by pure functions.

``reading`` asks GitHub and ``store`` keeps what it said; ``replay`` and ``judge`` decide over facts alone; ``report``
counts. Nothing here writes anywhere but into the cache folder.
"""
