"""`runbook demo`: whole stories played on a real Prefect server and the sandbox's stand-ins."""
