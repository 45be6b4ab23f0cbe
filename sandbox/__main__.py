"""``python -m sandbox``: run the stand-ins in the foreground until SIGTERM or SIGINT."""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path

from sandbox.box import Box
from sandbox.clock import SystemClock, VirtualClock
from sandbox.github.scenario_values import ScenarioError


def main(arguments: list[str] | None = None) -> int:
    """Start, say so in one line, and serve. Returns the exit code: 0, or 2 when it cannot start."""
    parser = argparse.ArgumentParser(prog="sandbox", description="Local stand-ins for demo, drill and tests.")
    parser.add_argument("--json", action="store_true", help="print one JSON line when ready")
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1 (default: a free one)")
    parser.add_argument("--socket", type=Path, help="unix socket (default: in a temporary folder)")
    parser.add_argument("--scenario", type=Path, help="YAML file with the state to start from")
    parser.add_argument(
        "--virtual-clock", action="store_true", help="time stands still until /_sandbox/advance"
    )
    options = parser.parse_args(arguments)
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    folder = None if options.socket else Path(tempfile.mkdtemp(prefix="sandbox-"))
    try:
        box = Box(
            options.scenario,
            clock=VirtualClock(datetime.now(UTC)) if options.virtual_clock else SystemClock(),
            port=options.port,
            socket_path=options.socket or (folder / "github.sock" if folder else None),
        )
    except (OSError, ScenarioError) as error:
        print(f"sandbox: cannot start: {error}", file=sys.stderr)
        _remove(folder)
        return 2
    box.start()
    try:
        if options.json:
            print(json.dumps(box.ready()), flush=True)
        else:
            print(f"GitHub stand-in at {box.url} ({box.owner}/{box.repo}); Ctrl-C ends it.", flush=True)
        end.wait()
    finally:
        box.stop()
        _remove(folder)
    return 0


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    raise SystemExit(main())
