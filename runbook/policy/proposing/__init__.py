"""A first policy for a repository, guessed from what it is: ``reading`` asks GitHub, ``guesses`` and ``text`` are pure.

Names come from strangers: each is either written so that TOML gives it back unchanged, or left out and said.
"""

from runbook.policy.proposing.findings import RepositoryFindings, WorkflowFinding
from runbook.policy.proposing.guesses import Proposal, propose
from runbook.policy.proposing.text import policy_text

__all__ = ["Proposal", "RepositoryFindings", "WorkflowFinding", "policy_text", "propose"]
