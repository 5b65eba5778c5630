"""Connections that no environment variable or password file affects, a server, and a service file."""

import os
from pathlib import Path

import pytest

from tests.fix_db import Server
from tests.programs import DEFAULT_MAJOR


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PGPASSFILE", "/nowhere")


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Server:
    server: Server = request.getfixturevalue(f"server_{DEFAULT_MAJOR}")
    return server


def service_file(folder: Path, **settings: object) -> str:
    """A service file with one service, `there`; returns its path."""
    path = folder / "services.conf"
    path.write_text("[there]\n" + "".join(f"{key}={value}\n" for key, value in settings.items()))
    return str(path)
