"""Deliveries as GitHub signs and sends them."""

import hashlib
import hmac
import json
import uuid
from typing import Any

from runbook.policy import Policy, parse_policy

SECRET = "correct-horse-battery"
REPOSITORY = "acme/voice-agent"
PATH = "/webhooks/github"
POLICY: Policy = parse_policy(
    {
        "repositories": [{"name": REPOSITORY}],
        "approvals": {"approvers": ["alice", "bob"]},
        "services": [
            {
                "name": "tts-service",
                "repository": REPOSITORY,
                "namespace": "voice-agent",
                "image": "ghcr.io/acme/tts",
                "dockerfile": "Dockerfile",
                "environments": ["production"],
            }
        ],
    }
)


def run_payload(run_id: int = 42, *, attempt: int = 1, conclusion: str = "failure") -> bytes:
    """Return the body of a ``workflow_run`` event."""
    run = {"id": run_id, "run_attempt": attempt, "conclusion": conclusion, "head_branch": "main"}
    return body_of(action="completed", workflow_run=run)


def body_of(**fields: Any) -> bytes:
    """Return a body about the repository."""
    return json.dumps({"repository": {"full_name": REPOSITORY}} | fields).encode()


def headers(
    body: bytes,
    *,
    event: str = "workflow_run",
    delivery: str | None = None,
    secret: str = SECRET,
    content_type: str = "application/json",
) -> dict[str, str]:
    """Return the headers that GitHub sends with a body."""
    return {
        "content-type": content_type,
        "x-github-delivery": delivery or str(uuid.uuid4()),
        "x-github-event": event,
        "x-hub-signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }
