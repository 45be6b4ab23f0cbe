"""Which TCP port to listen on."""

import socket

from runbook.errors import UsageError

LOOPBACK = "127.0.0.1"
_HIGHEST_PORT = 65_535


def free_port(host: str = LOOPBACK) -> int:
    """Return a port that nobody listens on at this moment.

    The caller must still expect to lose it: another process may take it before it is bound.
    """
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, *, host: str = LOOPBACK, purpose: str, option: str = "--port") -> None:
    """Check that ``port`` can be listened on.

    Args:
        port: The port that somebody asked for.
        host: The address to listen on.
        purpose: Who wants it, as it continues the words "is wanted for".
        option: The command line's option that names another one.

    Raises:
        UsageError: It is taken, not allowed, or no port at all.
    """
    wish = f"Port {port} on {host}, which is wanted for {purpose},"
    if not 0 < port <= _HIGHEST_PORT:
        raise UsageError(f"{wish} does not exist.", next_step=f"choose one from 1 to {_HIGHEST_PORT}.")
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        # As servers do it: a port whose last connections merely linger counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"{wish} cannot be used: {error.strerror}.",
                unchanged="Nothing was started.",
                next_step=f"stop what listens there, or choose another port with {option}.",
            ) from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
