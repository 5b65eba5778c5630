"""What Supabase's advisors would flag about our objects, before they do; each rule is a file in `advice/`.

Where one of them reports the same as a fact of the recorded structure does (a definer that should be none), the
fact's finding says it. What is left are promises that are unwise themselves, and what others put on our tables. The
advisors' 0001 (foreign keys), 0003 (row level security per row) and 0009 (duplicate indexes) are a matter of `plans`.
"""

from pathlib import Path

from supabase_jobs.database import Connection
from supabase_jobs.verify import rules
from supabase_jobs.verify.collected import Collected

_RULES = Path(__file__).parent / "advice"


def check(connection: Connection, area: str, about: rules.About, result: Collected) -> None:
    """Ask every rule, in `area`, after its facts were compared.

    `about` has lists: `scope` (the names of our objects), `recorded` (the facts about them that are meant to be so,
    `object:kind:name`), `exposed` (the schemas that the API serves), `doors` (those that are meant).
    """
    rules.check(connection, area, f"{area}:advice", _RULES, about, result)
