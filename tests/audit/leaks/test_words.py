"""Each kind of caller can be the subject of a sentence."""

import pytest

from supabase_jobs.audit import callers
from supabase_jobs.audit.facts.actors import Actor
from supabase_jobs.audit.leaks.leak import who

KINDS = (
    *(callers.ANON, callers.NEWCOMER, callers.STRANGER, callers.OWNER, callers.MEMBER),
    *(callers.FORMER, callers.FORGER, callers.CLAIM, callers.DECLARED, callers.ANONYMOUS),
    callers.SERVICE,
)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_every_caller_has_words(kind: str, role: str) -> None:
    actor = Actor(
        label="anon",
        kind=kind,
        role=role,
        is_outsider=False,
        link="",
        listing="",
        listed="",
        membership=None,
        remedy="",
        mark="",
        claim="",
        post="",
    )
    assert who(actor).endswith(" can")
