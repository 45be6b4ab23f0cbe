"""Runs procedures in plan mode one after the other in one process, for stories that need many runs and no worker.

Reads (procedure, request) by title, as JSON, on standard input; prints the flow runs' ids by title.
"""

import json
import sys

from flows.clear_caches import clear_caches
from flows.triage_failed_run import triage_failed_run
from runbook.requests import ClearCachesRequest, TriageRequest


def main() -> None:
    """Run them."""
    ids = {}
    for title, (procedure, request) in json.load(sys.stdin).items():
        if procedure == "clear-caches":
            state = clear_caches(ClearCachesRequest.model_validate(request), return_state=True)
        else:
            state = triage_failed_run(TriageRequest.model_validate(request), return_state=True)
        ids[title] = str(state.state_details.flow_run_id)
    print(json.dumps(ids))


if __name__ == "__main__":
    main()
