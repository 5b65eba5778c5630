"""testing/rls.py is made of testing/rls_async.py."""

import runpy

from tests.conftest import ROOT


def test_the_twin_is_that_of_the_asynchronous_module() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "twin.py"))
    source, twin = (script[name].read_text("utf-8") for name in ("SOURCE", "TWIN"))
    assert script["twin"](source) == twin, "run: .venv/bin/python scripts/twin.py"
