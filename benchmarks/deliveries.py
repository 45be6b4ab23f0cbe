"""How fast the gateway stores deliveries: signed ones from this process to the real gateway in another.

Run: .venv/bin/python -m benchmarks.deliveries [--rate 150] [--seconds 60] [--json]
Prints deliveries a second, the 50th and 99th percentile from the moment a delivery was due to be sent to its 202
(under 250 ms is wanted: a sender that falls behind counts against us), and how many are missing from the ledger
(none is wanted). Each is a failed run with a payload of the size that GitHub sends.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import httpx

from deployments.ports import LOOPBACK, free_port
from runbook.clock import SystemClock
from runbook.engine.deliveries import Deliveries, DeliveryState
from runbook.engine.ledger import Ledger

SECRET = "benchmark-of-deliveries"  # noqa: S105 - of a gateway that lives for this minute, on loopback
_REPOSITORY = "acme/voice-agent"
_POLICY = f"""
[[repositories]]
name = "{_REPOSITORY}"
[approvals]
approvers = ["alice"]
"""
# What GitHub sends about a run is 10 to 30 kB, most of it addresses.
_FILLER_FIELDS = 250
_START_SECONDS = 30.0
_POLL_SECONDS = 0.05
_ANSWER_SECONDS = 15.0


def payload(number: int) -> bytes:
    """Return a failed run's payload, of the size and kind that GitHub sends."""
    run = {
        "id": 10_000_000_000 + number,
        "run_attempt": 1,
        "conclusion": "failure",
        "event": "push",
        "head_branch": "main",
        "head_repository": {"full_name": _REPOSITORY},
        **_filler(),
    }
    return json.dumps(
        {"action": "completed", "workflow_run": run, "repository": {"full_name": _REPOSITORY}}
    ).encode()


@cache
def _filler() -> dict[str, str]:
    dice = random.Random(7)  # noqa: S311 - a payload, no secret
    return {
        f"{field}_url": f"https://api.github.com/repos/{_REPOSITORY}/{field}/{dice.getrandbits(64):x}"
        for field in range(_FILLER_FIELDS)
    }


def signed(body: bytes, delivery: str) -> dict[str, str]:
    """Return the headers that GitHub would send with a body."""
    made = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return {
        "content-type": "application/json",
        "x-github-delivery": delivery,
        "x-github-event": "workflow_run",
        "x-hub-signature-256": f"sha256={made}",
    }


@dataclass(frozen=True)
class Gateway:
    """A gateway that runs, and where."""

    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{LOOPBACK}:{self.port}"


@contextmanager
def gateway(folder: Path) -> Iterator[Gateway]:
    """Run a gateway on a ledger in a folder; what it says goes to ``gateway.log`` there."""
    (folder / "runbook.toml").write_text(_POLICY, encoding="utf-8")
    port = free_port()
    environment = {
        "PATH": os.defpath,
        "HOME": str(folder),
        "RUNBOOK_POLICY": str(folder / "runbook.toml"),
        "RUNBOOK_LEDGER_URL": _ledger_url(folder),
        "RUNBOOK_WEBHOOK_SECRET": SECRET,
    }
    command = [sys.executable, "-m", "deployments.gateway", "--port", str(port)]
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stderr=log, cwd=Path(__file__).parents[1])  # noqa: S603
        try:
            _await_ready(f"http://{LOOPBACK}:{port}", process, folder / "gateway.log")
            yield Gateway(port, process)
        finally:
            process.terminate()
            process.wait(_START_SECONDS)


def _await_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if client.get(f"{url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(_POLL_SECONDS)
    raise SystemExit(f"The gateway does not start:\n{log.read_text(encoding='utf-8')}")


class Sender:
    """Sends over kept connections, at a small part of what a general client costs: both share two cores.

    Args:
        port: Where the gateway listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def post(self, body: bytes, headers: Mapping[str, str]) -> int:
        """Send one delivery; return the status of its answer."""
        lines = ["POST /webhooks/github HTTP/1.1", f"host: {LOOPBACK}", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        while self._idle and self._idle[-1][0].at_eof():  # the gateway closes what is idle for long
            self._idle.pop()[1].close()
        reader, writer = (
            self._idle.pop() if self._idle else await asyncio.open_connection(LOOPBACK, self._port)
        )
        writer.write("\r\n".join((*lines, "", "")).encode() + body)
        status = int((await reader.readline()).split()[1])
        answer = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in answer.split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(length)
        self._idle.append((reader, writer))
        return status

    async def close(self) -> None:
        """Close the connections."""
        for _, writer in self._idle:
            writer.close()
            await writer.wait_closed()


async def send(port: int, *, rate: float, seconds: float) -> list[float | None]:
    """Send at a steady rate, whatever the answers do.

    Args:
        port: Where the gateway listens.
        rate: Deliveries a second.
        seconds: How long.

    Returns:
        For each delivery the seconds from when it was due to its 202; None where it got none.
    """
    sender = Sender(port)
    started = time.perf_counter()

    async def one(number: int, due: float) -> float | None:
        body = payload(number)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                status = await sender.post(body, signed(body, f"delivery-{number}"))
        except (OSError, IndexError, asyncio.IncompleteReadError, TimeoutError):
            return None
        return time.perf_counter() - due if status == 202 else None

    under_way: list[asyncio.Task[float | None]] = []
    for number in range(int(rate * seconds)):
        due = started + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        under_way.append(asyncio.create_task(one(number, due)))
    answers = list(await asyncio.gather(*under_way))
    await sender.close()
    return answers


def measure(*, rate: float, seconds: float) -> dict[str, float]:
    """Measure a gateway of its own.

    Args:
        rate: Deliveries a second.
        seconds: How long; at least two deliveries must come of it.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with gateway(folder) as running:
            started = time.perf_counter()
            answers = asyncio.run(send(running.port, rate=rate, seconds=seconds))
            took = time.perf_counter() - started
        ledger = Ledger(_ledger_url(folder))
        stored = Deliveries(ledger, clock=SystemClock()).backlog().counts[DeliveryState.WAITING]
        ledger.close()
    acknowledged = [answer for answer in answers if answer is not None]
    if len(acknowledged) < 2:
        raise SystemExit(f"Of {len(answers)} deliveries {len(acknowledged)} were acknowledged.")
    percentiles = statistics.quantiles(acknowledged, n=100)
    return {
        "sent": len(answers),
        "deliveries_per_s": len(acknowledged) / took,
        "p50_ms": percentiles[49] * 1000,
        "p99_ms": percentiles[98] * 1000,
        "max_ms": max(acknowledged) * 1000,
        "not_acknowledged": len(answers) - len(acknowledged),
        "lost": len(acknowledged) - stored,
    }


def _ledger_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.db'}"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rate", type=float, default=150, help="deliveries a second (150)")
    parser.add_argument("--seconds", type=float, default=60, help="how long (60)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    result = measure(rate=options.rate, seconds=options.seconds)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name.replace('_', ' '):20}{value:10.1f}")
    return 1 if result["lost"] or result["not_acknowledged"] else 0


if __name__ == "__main__":
    sys.exit(main())
