"""Simulated PostgreSQL server that rejects or drops connections in a chosen way."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_SSL, _GSS = 80877103, 80877104

Behaviour = Callable[[socket.socket], None]


@dataclass
class FakeServer:
    """A running server; `startup_messages` are the StartupMessages that clients have sent."""

    port: int
    startup_messages: list[bytes] = field(default_factory=list)


@contextmanager
def fake_server(behave: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[FakeServer]:
    """Listen on a free port, with TLS if `tls` is given, and run `behave` for each client after its
    StartupMessage.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    fake = FakeServer(listener.getsockname()[1])
    ended = threading.Event()
    clients: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                if ended.is_set():
                    return
                client.settimeout(20)
                clients[:] = [client]
                try:
                    connected = _read_startup(client, fake, tls)
                    if connected is not None:
                        with connected:
                            behave(connected)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        ended.set()
        for client in clients:  # psycopg may keep a connection that timed out open
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        socket.create_connection(("127.0.0.1", fake.port)).close()
        thread.join(30)
        listener.close()


def fatal(text: str, sqlstate: str = "XX000") -> Behaviour:
    """Reject the client with this message."""
    return lambda client: client.sendall(_error(text, sqlstate))


def echo(client: socket.socket) -> None:
    """Request the password in clear text and repeat it in the error message."""
    client.sendall(_message(b"R", struct.pack("!I", 3)))
    client.recv(1)
    password = _body(client).rstrip(b"\0").decode()
    client.sendall(_error(f"I do not like {password} at all", "28000"))


def silent(client: socket.socket) -> None:
    """Send nothing until the client disconnects."""
    client.recv(1)


def ready(version: str) -> Behaviour:
    """Accept the client as a server of this version, and disconnect at its first query."""

    def behave(client: socket.socket) -> None:
        parameters = {
            "server_version": version,
            "client_encoding": "UTF8",
            "standard_conforming_strings": "on",
        }
        client.sendall(
            _message(b"R", struct.pack("!I", 0))
            + b"".join(_message(b"S", f"{k}\0{v}\0".encode()) for k, v in parameters.items())
            + _message(b"K", struct.pack("!II", 1, 1))
            + _message(b"Z", b"I")
        )
        client.recv(1)

    return behave


def _read_startup(
    client: socket.socket, fake: FakeServer, tls: ssl.SSLContext | None
) -> socket.socket | None:
    while True:
        body = _body(client)
        if not body:
            return None
        code = struct.unpack("!I", body[:4])[0]
        if code == _SSL and tls is not None:
            client.sendall(b"S")
            client = tls.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
            try:
                client.do_handshake()
            except OSError:
                client.close()
                raise
        elif code in (_SSL, _GSS):
            client.sendall(b"N")
        else:
            fake.startup_messages.append(body[4:])
            return client


def _body(client: socket.socket) -> bytes:
    length = client.recv(4)  # four bytes arrive together
    return client.recv(struct.unpack("!I", length)[0] - 4) if len(length) == 4 else b""


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _error(text: str, sqlstate: str) -> bytes:
    fields = {"S": "FATAL", "V": "FATAL", "C": sqlstate, "M": text}
    return _message(b"E", b"".join(f"{k}{v}\0".encode() for k, v in fields.items()) + b"\0")
