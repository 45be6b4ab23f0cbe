"""Runs the helm program: by argument list, in a process group of its own, with a deadline and bounded output."""

import contextlib
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runbook.errors import UsageError

MAX_OUTPUT_BYTES = 16 * 1024 * 1024
"""More than Helm can store of a release: a Secret holds at most 1 MiB, compressed."""
# What helm and a kubeconfig's login program need of our environment: where programs are, where the cluster is
# reached from inside it, the way out, and where releases are kept (a secret of another driver is not passed on).
_PASSED_ON = (
    *("PATH", "HOME", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"),
    *("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "HELM_DRIVER"),
)
_READ_BYTES = 65_536


@dataclass(frozen=True)
class Ran:
    """How a program ended.

    Args:
        code: Its exit code; negative where a signal ended it.
        output: What it wrote to stdout, at most ``MAX_OUTPUT_BYTES``.
        errors: What it wrote to stderr, likewise.
        cut_short: Why we ended it; empty where it ended by itself.
    """

    code: int
    output: bytes
    errors: str
    cut_short: str = ""


@dataclass(frozen=True)
class HelmProgram:
    """The helm program and the cluster that it speaks to.

    Args:
        program: Its path, or its name in ``PATH``.
        kubeconfig: ``KUBECONFIG``; None for the account of the pod that this runs in.
        environment: This process's variables.
        end_grace_seconds: How long it may take to end by itself after SIGTERM.
    """

    program: str
    kubeconfig: Path | None
    environment: Mapping[str, str] = field(repr=False)
    end_grace_seconds: float

    def run(self, arguments: Sequence[str], *, deadline_seconds: float) -> Ran:
        """Run it once; whatever happens, no process of it is left.

        Args:
            arguments: Its arguments. Anyone on this machine can read them: nothing secret is among them.
            deadline_seconds: When it is ended: SIGTERM to its group, then SIGKILL.

        Raises:
            UsageError: There is no such program, or nothing says where the cluster is.
        """
        with tempfile.TemporaryDirectory(prefix="runbook-helm-") as home:
            process = self._start(arguments, home)
            try:
                return _read_to_the_end(process, deadline_seconds, self.end_grace_seconds)
            finally:
                _end(process, self.end_grace_seconds)
                for pipe in (process.stdout, process.stderr):
                    if pipe is not None:
                        pipe.close()

    def _start(self, arguments: Sequence[str], home: str) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(  # noqa: S603 - an argument list; names in it are checked by the client
                [self.program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._environment(home),
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(
                f"The helm program {self.program!r} cannot be run: {error.strerror or error}.",
                unchanged="Nothing was sent.",
                next_step="install Helm 3 or 4, or name the program in RUNBOOK_HELM",
            ) from error

    def _environment(self, home: str) -> dict[str, str]:
        """Return only what it needs; with folders of its own it finds no plugin, registry login or stale cache.

        HOME stays: a kubeconfig may name a program that logs in to a cloud by what lies there.
        """
        passed = {name: self.environment[name] for name in _PASSED_ON if name in self.environment}
        folders = {
            "KUBECACHEDIR": f"{home}/kube",
            "HELM_CACHE_HOME": f"{home}/cache",
            "HELM_CONFIG_HOME": f"{home}/config",
            "HELM_DATA_HOME": f"{home}/data",
        }
        return {**passed, **folders, **self._where_the_cluster_is()}

    def _where_the_cluster_is(self) -> dict[str, str]:
        # Without either, helm would ask whatever listens on localhost:8080.
        if self.kubeconfig is None and "KUBERNETES_SERVICE_HOST" not in self.environment:
            raise UsageError(
                "Nothing says where the Kubernetes cluster is.",
                unchanged="Nothing was sent.",
                next_step="set KUBECONFIG",
            )
        if self.kubeconfig is None:
            return {}
        paths = [Path(path).absolute() for path in str(self.kubeconfig).split(os.pathsep) if path]
        if not any(path.exists() for path in paths):
            raise UsageError(
                f"KUBECONFIG names {self.kubeconfig}, and there is no such file.",
                unchanged="Nothing was sent.",
                next_step="set KUBECONFIG to the file that says where the cluster is",
            )
        return {"KUBECONFIG": os.pathsep.join(map(str, paths))}


def _read_to_the_end(
    process: subprocess.Popen[bytes], deadline_seconds: float, end_grace_seconds: float
) -> Ran:
    assert process.stdout is not None  # noqa: S101 - a pipe, as asked for
    assert process.stderr is not None  # noqa: S101
    output, errors = bytearray(), bytearray()
    cut_short = ""
    ends_at = time.monotonic() + deadline_seconds
    with selectors.DefaultSelector() as pipes:
        pipes.register(process.stdout, selectors.EVENT_READ, output)
        pipes.register(process.stderr, selectors.EVENT_READ, errors)
        while pipes.get_map() and not cut_short:
            ready = pipes.select(max(0.0, ends_at - time.monotonic()))
            for key, _ in ready:
                data = os.read(key.fd, _READ_BYTES)
                key.data.extend(data)
                if not data:
                    pipes.unregister(key.fileobj)
            if max(len(output), len(errors)) > MAX_OUTPUT_BYTES:
                cut_short = f"it wrote more than {MAX_OUTPUT_BYTES} bytes"
            elif not ready:
                cut_short = f"it had not ended after {deadline_seconds:g} s"
    if not cut_short:
        try:
            process.wait(max(0.0, ends_at - time.monotonic()))
        except subprocess.TimeoutExpired:
            cut_short = f"it had not ended after {deadline_seconds:g} s"
    _end(process, end_grace_seconds)
    return Ran(
        code=process.returncode,
        output=bytes(output[:MAX_OUTPUT_BYTES]),
        errors=bytes(errors[:MAX_OUTPUT_BYTES]).decode("utf-8", "replace"),
        cut_short=cut_short,
    )


def _end(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """End the process and its group, if it still runs, and wait until it has ended."""
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)
    if process.poll() is None:
        _signal_group(process, signal.SIGKILL)
        process.wait()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended in this moment
        os.killpg(process.pid, number)
