"""A flow of the tests' own: it says what it was told and what it knows, and can take long."""

import json
import os
import time

from prefect import flow


@flow(name="probe")
def probe(name: str, seconds: float = 0.0) -> None:
    """Print the environment that this run has, then take ``seconds``."""
    print(f"probe {name} {json.dumps(dict(os.environ))}", flush=True)
    time.sleep(seconds)  # the work of this flow is to take time
