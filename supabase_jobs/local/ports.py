"""TCP ports on 127.0.0.1."""

import socket
from contextlib import ExitStack

from supabase_jobs.errors import ConfigError

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """Different ports on which no program listens at the moment."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for candidate in sockets:
            candidate.bind((HOST, 0))
        return [candidate.getsockname()[1] for candidate in sockets]


def is_free(port: int) -> bool:
    """Whether a server could listen on the port."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except OSError:
            return False
    return True


def unavailable(port: int, option: str) -> ConfigError:
    """The error for a port that the user passed with an option and that cannot be used."""
    return ConfigError(
        f"port {port} on {HOST} is in use or reserved",
        hint=f"pass another {option}, or omit it to use a free port",
    )
