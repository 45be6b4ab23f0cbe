"""The stand-in program as a file to run, for ``RUNBOOK_HELM``."""

import shlex
import sys
from pathlib import Path

PROGRAM = Path(__file__).with_name("program.py")


def write_program(folder: Path) -> Path:
    """Write an executable ``helm`` into ``folder`` and return its path.

    It needs nothing of the environment but KUBECONFIG.
    """
    path = folder / "helm"
    line = shlex.join([sys.executable, "-I", str(PROGRAM)])
    path.write_text(f'#!/bin/sh\nexec {line} "$@"\n', encoding="utf-8")
    path.chmod(0o755)
    return path
