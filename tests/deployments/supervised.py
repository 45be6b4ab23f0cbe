"""An installation for the tests to kill: ``python -m tests.deployments.supervised STATE COMMAND...``.

It supervises COMMAND under the name ``child``, says ``ready`` and waits; with ``--in-start`` it is for ever
starting and stopping short-lived children instead.
"""

import sys
from pathlib import Path

from deployments.supervisor import Supervisor


def main() -> None:
    """Run until a signal or the child's death."""
    arguments = sys.argv[1:]
    in_start = arguments[0] == "--in-start"
    state, *command = arguments[1:] if in_start else arguments
    with Supervisor(Path(state), grace_seconds=1.0) as up:
        up.start("child", command)
        print("ready", flush=True)
        number = 0
        while in_start:
            up.start(f"child-{number}", command)
            number += 1
        up.wait()


if __name__ == "__main__":
    main()
