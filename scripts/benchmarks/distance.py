"""A TCP proxy that adds network distance to a server on this machine, and counts the round trips
through it.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Distance:
    """A running proxy: its port, and the round trips of all its connections so far, those of
    connecting included.

    While `dropped` is set it forwards nothing and closes nothing, as a network that is gone.
    """

    port: int
    dropped: threading.Event = field(default_factory=threading.Event)
    # of each connection to the server, by its port on this machine
    trips: Counter[int] = field(default_factory=Counter)

    @property
    def round_trips(self) -> int:
        """The round trips of all connections."""
        return self.trips.total()


@contextmanager
def distance(target_port: int, one_way_seconds: float) -> Iterator[Distance]:
    """A proxy on a free port of 127.0.0.1 before `target_port`; every byte arrives
    `one_way_seconds` later.

    A round trip is counted whenever a client sends after it has received. Chunks keep their order
    and overlap in flight, as on a network: a pipeline takes one round trip, however many packets it
    has. Without distance the first answers of a pipeline arrive before its end is sent, and it may
    count as several.
    """
    loop = asyncio.new_event_loop()
    started: threading.Event = threading.Event()
    state = Distance(0)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  inside a coroutine
        tasks.add(task)
        try:
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", target_port)
        except OSError:
            writer.close()
            return
        port = server_writer.get_extra_info("sockname")[1]
        state.trips[port] = 0
        client_is_sending = False

        async def pump(
            source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, from_client: bool
        ) -> None:
            nonlocal client_is_sending
            flights: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

            async def land() -> None:
                while True:
                    arrival, data = await flights.get()
                    await asyncio.sleep(max(arrival - loop.time(), 0))
                    while state.dropped.is_set():
                        await asyncio.sleep(0.05)
                    if not data:
                        sink.close()
                        return
                    sink.write(data)
                    await sink.drain()

            landing = asyncio.create_task(land())
            tasks.add(landing)
            landing.add_done_callback(tasks.discard)
            with suppress(OSError):
                while data := await source.read(1 << 16):
                    if from_client and not client_is_sending:
                        state.trips[port] += 1
                    client_is_sending = from_client
                    flights.put_nowait((loop.time() + one_way_seconds, data))
            flights.put_nowait((loop.time() + one_way_seconds, b""))
            with suppress(OSError):
                await landing

        try:
            # cancelled at the end of the block
            with suppress(asyncio.CancelledError):
                await asyncio.gather(
                    pump(reader, server_writer, from_client=True),
                    pump(server_reader, writer, from_client=False),
                )
        finally:
            tasks.discard(task)
            for stream in (writer, server_writer):
                stream.close()
                with suppress(OSError):
                    await stream.wait_closed()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        state.port = server.sockets[0].getsockname()[1]
        started.set()
        await stopping.wait()
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stopping = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), daemon=True)
    thread.start()
    started.wait()
    try:
        yield state
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(5)
        if not loop.is_running():
            loop.close()
