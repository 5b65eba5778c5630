"""plans.toml: what it declares, and the errors for a malformed declaration."""

from pathlib import Path

import pytest

from supabase_jobs.errors import ConfigError
from supabase_jobs.verify.plans.queries import DEFAULT_FILE, load
from supabase_jobs.verify.structure import snapshot


def test_every_managed_index_has_a_query() -> None:
    """Except for the index that only a foreign key needs."""
    declared = load()
    recorded = {f"public.{fact.name}" for fact in snapshot.load().facts if fact.kind == "index"}
    unused = recorded - {query.index for query in declared.queries}
    assert unused == {"public.idx_guest_users_migrated_to_user_id"}
    assert {identity.role for identity in declared.identities} == {
        "anon",
        "authenticated",
        "service_role",
    }
    assert declared.placeholders == {"guest_header"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('as = ["guest", "service"]', 'as = ["guest", "nobody"]', "unknown identity 'nobody'"),
        ('as = ["guest", "service"]', "as = []", "'as' must be a list that is not empty"),
        ('as = ["guest", "service"]', 'as = "guest"', "'as' must be a list that is not empty"),
        ('columns = ["status"]', "columns = []", "'columns' must be a list that is not empty"),
        ("ordered = true", "sorted = true", "unknown key 'sorted'"),
        ('index = "public.idx_async_jobs_url"', 'index = "idx_async_jobs_url"', "has no schema"),
        (
            'name = "active jobs of a user"',
            'name = "active jobs of a guest"',
            "two queries have the name",
        ),
        ('index = "public.idx_async_jobs_url"', "", "does not declare fast queries"),
        ("[[query]]", "[[queries]]", "unknown key 'queries'"),
        ("ids = [", "ids = ", "not valid TOML"),
    ],
)
def test_malformed_declaration_raises_config_error(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = DEFAULT_FILE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "plans.toml"
    path.write_text(
        text.replace(old, new) if old == "[[query]]" else text.replace(old, new, 1),
        encoding="utf-8",
    )
    with pytest.raises(ConfigError, match=message):
        load(path)
