"""The common state of the audits of two databases, so that their results differ only where the
databases do.
"""

import secrets
from dataclasses import dataclass, field, replace

from supabase_jobs.audit.catalog import Catalog
from supabase_jobs.audit.policies.usage.added import add
from supabase_jobs.audit.policies.usage.usage import usage
from supabase_jobs.audit.policies.uses import Usage
from supabase_jobs.audit.words import Words

# the only word of a policy that makes a caller
_CALLER_WORDS = {"is_anonymous"}


@dataclass(eq=False)
class Common:
    """The tokens and numbers of generated rows, and what the policies of each audited database
    mention.

    With the same rows and callers on both sides, an outcome differs only if the access does. An
    audit that is compared with no other has one of its own.
    """

    _tokens: dict[str, str] = field(default_factory=dict)
    _numbers: dict[str, dict[tuple[str, ...], int]] = field(default_factory=dict)
    _known: list[tuple[Catalog, Usage]] = field(default_factory=list)

    def token(self, tenant: str, *, stable: bool = False) -> str:
        """The token of a tenant, as `make_token` makes it."""
        return self._tokens.setdefault(tenant, make_token(tenant, stable=stable))

    def number(self, kind: str, *names: str) -> int:
        """The number of a user or row among those of its kind, by the names that identify it."""
        known = self._numbers.setdefault(kind, {})
        return known.setdefault(names, len(known) + 1)

    def add(self, catalog: Catalog, words: Words) -> None:
        """Read the columns that policies of a database mention; every later audit tries them."""
        self._known.append((catalog, usage(catalog, words)))

    def usage(self, catalog: Catalog, words: Words) -> Usage:
        """The columns that policies of this database and of those that were added mention."""
        self.add(catalog, words)
        return _merged(catalog, self._known)

    def first_lacks_mentions(self) -> bool:
        """Whether policies of later databases mention what the audit of the first one has not
        tried.
        """
        catalog, _ = self._known[0]
        tried, all_ = (_merged(catalog, known) for known in (self._known[:1], self._known))
        return _without_names(tried) != _without_names(all_)


def make_token(tenant: str, *, stable: bool) -> str:
    """A token that no other text contains: letters and digits, in lower case. `stable`: the same in
    each run.
    """
    return f"zq{tenant}{'0' * 6 if stable else secrets.token_hex(3)}"


def _without_names(found: Usage) -> Usage:
    """The uses with no words but those that make a caller."""
    words = found.mentions.words & _CALLER_WORDS
    return replace(found, mentions=replace(found.mentions, words=words))


def _merged(catalog: Catalog, known: list[tuple[Catalog, Usage]]) -> Usage:
    own = next(found for source, found in known if source is catalog)
    merged = Usage(
        policies=own.policies,
        bodies=own.bodies,
        conditions=own.conditions,
        triggers=own.triggers,
        secrets=own.secrets,
    )
    for source, found in known:
        add(merged, catalog, found, source)
    return merged
