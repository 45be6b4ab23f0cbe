"""What the worker's fork server does once, at import, so that no run has to: above all, compile the signatures.

A run reads the policy anew; only if its known issues have changed since does it compile them itself.
"""

import logging

from runbook.errors import RunbookError
from runbook.policy import load_policy
from runbook.settings import Settings
from runbook.triage.catalogue import builtin_catalogue, catalogue_with


def compile_signatures() -> None:
    """Compile the catalogue that runs will ask for."""
    try:
        _ = catalogue_with(load_policy(Settings.from_environment().policy_file).known_issues).databases
    except RunbookError as error:
        # A run says what is wrong with the policy; the built-in signatures are ready for when it is mended.
        logging.getLogger("runbook.worker").warning("The policy cannot be read yet: %s", error)
        _ = builtin_catalogue().databases


compile_signatures()
