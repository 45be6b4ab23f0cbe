"""Stand-ins for the systems that the product works on: for the demo, drills and tests.

Each speaks its system's wire protocol, holds state, enforces the documented rules, logs every request and
fails on demand. Nothing of the product is imported here, and the product imports nothing from here; it is
started as ``python -m sandbox``, or in a test::

    with sandbox.running() as box:
        requests.get(f"{box.url}/user", headers={"Authorization": f"Bearer {box.token}"})
"""

from sandbox.box import Box, running
from sandbox.clock import Clock, SystemClock, VirtualClock
from sandbox.github.scenario_values import ScenarioError

__all__ = ["Box", "Clock", "ScenarioError", "SystemClock", "VirtualClock", "running"]
