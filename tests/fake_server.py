"""A server that speaks as much of PostgreSQL's protocol as it takes to refuse a connection in a certain way."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_SSL, _GSS = 80877103, 80877104

Behaviour = Callable[[socket.socket], None]


@dataclass
class Fake:
    """`started` holds what each client said that got as far as saying who it is."""

    port: int
    started: list[bytes] = field(default_factory=list)


@contextmanager
def fake_server(behave: Behaviour, tls: ssl.SSLContext | None = None) -> Iterator[Fake]:
    """Serve on a free port of 127.0.0.1, with TLS if `tls` says how: `behave` for each client that goes on then."""
    listener = socket.create_server(("127.0.0.1", 0))
    fake = Fake(listener.getsockname()[1])
    ended = threading.Event()

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
                try:
                    greeted = _greet(client, fake, tls)
                    if greeted is not None:
                        with greeted:
                            behave(greeted)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        ended.set()
        socket.create_connection(("127.0.0.1", fake.port)).close()
        thread.join(30)
        listener.close()


def fatal(text: str, sqlstate: str = "XX000") -> Behaviour:
    """Refuse the client with these words."""
    return lambda client: client.sendall(_error(text, sqlstate))


def echo(client: socket.socket) -> None:
    """Ask for the password as it is, and repeat it in the refusal."""
    client.sendall(_message(b"R", struct.pack("!I", 3)))
    client.recv(1)
    password = _body(client).rstrip(b"\0").decode()
    client.sendall(_error(f"I do not like {password} at all", "28000"))


def silent(client: socket.socket) -> None:
    """Say nothing until the client goes away."""
    client.recv(1)


def ready(version: str) -> Behaviour:
    """Let the client in as a server of this version, then hang up at its first query."""

    def behave(client: socket.socket) -> None:
        parameters = {"server_version": version, "client_encoding": "UTF8", "standard_conforming_strings": "on"}
        client.sendall(
            _message(b"R", struct.pack("!I", 0))
            + b"".join(_message(b"S", f"{k}\0{v}\0".encode()) for k, v in parameters.items())
            + _message(b"K", struct.pack("!II", 1, 1))
            + _message(b"Z", b"I")
        )
        client.recv(1)

    return behave


def _greet(client: socket.socket, fake: Fake, tls: ssl.SSLContext | None) -> socket.socket | None:
    while True:
        body = _body(client)
        if not body:
            return None
        code = struct.unpack("!I", body[:4])[0]
        if code == _SSL and tls is not None:
            client.sendall(b"S")
            client = tls.wrap_socket(client, server_side=True)
        elif code in (_SSL, _GSS):
            client.sendall(b"N")
        else:
            fake.started.append(body[4:])
            return client


def _body(client: socket.socket) -> bytes:
    length = client.recv(4)  # small enough to come in one piece
    return client.recv(struct.unpack("!I", length)[0] - 4) if len(length) == 4 else b""


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _error(text: str, sqlstate: str) -> bytes:
    fields = {"S": "FATAL", "V": "FATAL", "C": sqlstate, "M": text}
    return _message(b"E", b"".join(f"{k}{v}\0".encode() for k, v in fields.items()) + b"\0")
