"""Clients that use a database, and how long each of their statements takes."""

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

# every sign-up updates one row, as a counter of users does
COUNTER = """
create table public.user_count (total bigint not null);
insert into public.user_count values (0);
alter table public.user_count enable row level security;
create function public.count_user() returns trigger language plpgsql security definer
set search_path = '' as $$
begin
  update public.user_count set total = total + 1;
  return new;
end $$;
create trigger count_user after insert on auth.users
for each row execute function public.count_user();
"""
SIGN_UP = "insert into auth.users (id, email) values (%s, %s)"


@dataclass
class Traffic:
    """The seconds of each statement of all clients."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def longest(self) -> float:
        """The longest time of a statement."""
        return max(self.seconds)


@contextmanager
def sign_ups(url: str, clients: int = 4, pause: float = 0.02) -> Iterator[Traffic]:
    """Clients that sign up one user after the other, until the block ends."""
    traffic, stopped = Traffic(), threading.Event()

    def client() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not stopped.wait(pause):
                id = uuid.uuid4()
                started = time.monotonic()
                try:
                    connection.execute(SIGN_UP, (id, f"{id}@example.net"))
                except psycopg.Error as error:
                    traffic.errors.append(str(error))
                traffic.seconds.append(time.monotonic() - started)

    threads = [threading.Thread(target=client, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.2)
        yield traffic
    finally:
        stopped.set()
        for thread in threads:
            thread.join(10)
