"""What a failed run left behind as files: test reports, coverage, scanners' findings, read in bounded memory.

Here belongs how such files are found, opened and read, and what they say about a failure; not how it is shown.
Whoever may push to the repository chooses their content, so every reader expects a hostile one.
"""
