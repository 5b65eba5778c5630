"""A local port in front of a database: it adds encryption, and shortens the conversation.

The embedded pg_dump is built without TLS. It connects to a port on this computer, and the relay
connects to the database with the parameters of psycopg's own connection.
"""

import asyncio
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from supabase_jobs.errors import ConnectError
from supabase_jobs.local.ports import HOST
from supabase_jobs.projects.pipeline import Pipeline, split

_TLS_REQUEST = struct.pack("!ii", 8, 80877103)
_BLOCK = 1 << 16


@dataclass(frozen=True)
class Endpoint:
    """Where a database listens: a host or the folder of a socket, and how the connection is
    encrypted, if it is.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_name: str = ""


def endpoint(options: Mapping[str, str], *, encrypted: bool) -> Endpoint:
    """The endpoint of an open connection: `options` are its parameters as libpq names them.

    The certificate is checked as libpq checks it for the same sslmode.
    """
    host = options.get("hostaddr") or options["host"]
    port = int(options["port"])
    if not encrypted:
        return Endpoint(host, port)
    return Endpoint(host, port, _context(options), options.get("host") or host)


def _context(options: Mapping[str, str]) -> ssl.SSLContext:
    mode, root = options.get("sslmode", "prefer"), options.get("sslrootcert", "")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = mode == "verify-full"
    if root == "system":
        context.load_default_certs()
    elif mode in ("verify-ca", "verify-full"):
        context.load_verify_locations(root)
    else:
        context.verify_mode = ssl.CERT_NONE
    if options.get("sslcert") and options.get("sslkey"):
        context.load_cert_chain(
            options["sslcert"], options["sslkey"], options.get("sslpassword") or None
        )
    return context


@contextmanager
def relay(target: Endpoint, questions: Sequence[str] = ()) -> Iterator[int]:
    """A port on this computer that leads to the database; closed with all connections afterwards.

    `questions` are those that a program may ask there: see `Pipeline`. Raises ConnectError if the
    port cannot be opened.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="relay", daemon=True)
    thread.start()
    try:
        opened = asyncio.run_coroutine_threadsafe(_listen(target, questions), loop)
        try:
            server = opened.result(timeout=10)
        except OSError as error:
            raise ConnectError(f"cannot open a local port: {error.strerror}") from error
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            asyncio.run_coroutine_threadsafe(_close(server), loop).result(timeout=10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=10)
        loop.close()


async def _listen(target: Endpoint, questions: Sequence[str]) -> asyncio.Server:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio prints the traceback of a task that is cancelled at the end
        ended = (OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with suppress(*ended):
            await _serve(target, Pipeline(questions), reader, writer)
        writer.close()

    return await asyncio.start_server(serve, HOST, 0)


async def _close(server: asyncio.Server) -> None:
    server.close()
    current = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not current]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _serve(
    target: Endpoint,
    pipeline: Pipeline,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    beyond_reader, beyond_writer = await _connect(target)

    async def ask() -> None:
        # the first message has no kind
        size = await reader.readexactly(4)
        beyond_writer.write(size + await reader.readexactly(int.from_bytes(size) - 4))
        async for messages in _messages(reader):
            for message in messages:
                there, back = pipeline.asked(message)
                beyond_writer.write(there)
                writer.write(back)
            await beyond_writer.drain()

    async def answer() -> None:
        async for messages in _messages(beyond_reader):
            writer.write(b"".join(map(pipeline.answered, messages)))
            await writer.drain()

    directions = [asyncio.ensure_future(ask()), asyncio.ensure_future(answer())]
    try:
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
    finally:
        beyond_writer.close()
        for direction in directions:
            direction.cancel()
        # asyncio prints the traceback of a task whose error nobody reads
        await asyncio.gather(*directions, return_exceptions=True)


async def _connect(target: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if target.host.startswith(("/", "@")):
        path = f"{target.host}/.s.PGSQL.{target.port}".replace("@", "\0", 1)
        return await asyncio.open_unix_connection(path)
    reader, writer = await asyncio.open_connection(target.host, target.port)
    if target.tls is not None:
        writer.write(_TLS_REQUEST)
        if await reader.readexactly(1) != b"S":
            writer.close()
            raise ConnectionError("the server refused TLS")
        await writer.start_tls(target.tls, server_hostname=target.server_name)
    return reader, writer


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[list[bytes]]:
    """The messages of each block that arrives."""
    buffer = bytearray()
    while block := await reader.read(_BLOCK):
        buffer += block
        yield list(split(buffer))
