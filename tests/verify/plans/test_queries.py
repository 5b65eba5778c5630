"""plans.toml: what it declares, and what is refused."""

from pathlib import Path

import pytest

from supabase_jobs.errors import ConfigError
from supabase_jobs.verify.plans.queries import DEFAULT_FILE, load
from supabase_jobs.verify.structure import snapshot


def test_every_index_of_ours_has_a_query() -> None:
    """But for the one that only a foreign key needs."""
    declared = load()
    recorded = {f"public.{fact.name}" for fact in snapshot.load().facts if fact.kind == "index"}
    unasked = recorded - {query.index for query in declared.queries}
    assert unasked == {"public.idx_guest_users_migrated_to_user_id"}
    assert {identity.role for identity in declared.identities} == {"anon", "authenticated", "service_role"}
    assert declared.placeholders == {"guest_header"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('as = ["guest", "service"]', 'as = ["guest", "nobody"]', "unknown identity 'nobody'"),
        ('as = ["guest", "service"]', "as = []", "under 'as' that is not empty"),
        ('as = ["guest", "service"]', 'as = "guest"', "unknown identity 'g'"),
        ('columns = ["status"]', "columns = []", "under 'columns' that is not empty"),
        ("ordered = true", "sorted = true", "unknown key 'sorted'"),
        ('index = "public.idx_async_jobs_url"', 'index = "idx_async_jobs_url"', "with a schema"),
        ('name = "active jobs of a user"', 'name = "active jobs of a guest"', "two queries are called"),
        ('index = "public.idx_async_jobs_url"', "", "does not declare fast queries"),
        ("[[query]]", "[[queries]]", "does not declare fast queries"),
        ("ids = [", "ids = ", "not valid TOML"),
    ],
)
def test_a_broken_declaration_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = DEFAULT_FILE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "plans.toml"
    path.write_text(text.replace(old, new) if old == "[[query]]" else text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        load(path)
