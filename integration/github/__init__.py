"""Judges of the GitHub stand-in: GitHub's own OpenAPI description, and GitHub's own command line program."""
