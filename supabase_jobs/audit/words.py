"""Lists of words by which names of columns, tables and values are recognized: words.toml."""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

FILE = Path(__file__).with_name("words.toml")

_MATCHES: Mapping[str, Callable[[str, str], bool]] = {
    "name": lambda name, word: name == word,
    "order": lambda name, word: name == word,
    "beginning": lambda name, word: name.startswith((word, f"is_{word}")),
    "prefix": lambda name, word: name == word or name.startswith(f"{word}_"),
    "ending": lambda name, word: name.endswith(word),
    "part": lambda name, word: word in name,
}


@dataclass(frozen=True)
class WordList:
    """Words, the way in which a name matches them, and patterns that are searched in the name."""

    match: str
    words: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()

    def matches(self, name: str) -> bool:
        """Whether a name matches a word or a pattern."""
        lower = name.lower()
        matches = _MATCHES[self.match]
        if any(matches(lower, word) for word in self.words):
            return True
        return self._pattern is not None and self._pattern.search(lower) is not None

    def rank(self, name: str) -> int:
        """The position of a word; the number of words for a name that is none."""
        lower = name.lower()
        return self.words.index(lower) if lower in self.words else len(self.words)

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        return re.compile("|".join(self.patterns)) if self.patterns else None


@dataclass(frozen=True, kw_only=True)
class Words:
    """The lists of words.toml, by their names there."""

    user_columns: WordList
    author_columns: WordList
    sensitive_columns: WordList
    insensitive_endings: WordList
    telephone_columns: WordList
    confidential_columns: WordList
    confidential_comments: WordList
    unknown_values: WordList
    privilege_columns: WordList
    paid_columns: WordList
    admin_columns: WordList
    verification_columns: WordList
    powerful_roles: WordList
    role_columns: WordList
    role_tables: WordList
    staff_tables: WordList
    membership_tables: WordList
    ending_columns: WordList
    expiry_columns: WordList
    valid_columns: WordList
    valid_memberships: WordList
    accepted_memberships: WordList
    acceptance_columns: WordList
    state_columns: WordList
    ended_states: WordList
    invited_states: WordList
    valid_states: WordList
    amount_columns: WordList
    payment_time_columns: WordList
    service_state_columns: WordList
    progress_columns: WordList
    approval_columns: WordList
    result_columns: WordList
    grading_columns: WordList
    due_columns: WordList
    price_columns: WordList
    payment_tables: WordList
    payment_service_columns: WordList
    examination_tables: WordList
    success_states: WordList
    person_arguments: WordList
    own_metadata: WordList
    future_columns: WordList
    closing_times: WordList
    number_members: WordList

    def is_sensitive(self, column: str) -> bool:
        """Whether a column holds an address, a token or a secret."""
        return self.sensitive_columns.matches(column) and not self.insensitive_endings.matches(
            column
        )

    def with_more(self, more: Mapping[str, Sequence[str]]) -> "Words":
        """These lists with the words that a project adds."""
        changed = {}
        for name, words in more.items():
            known: WordList = getattr(self, name)
            changed[name] = replace(known, words=(*known.words, *(word.lower() for word in words)))
        return replace(self, **changed)


@cache
def load() -> Words:
    """The lists of words.toml, which commands without an audit do not read."""
    with FILE.open("rb") as file:
        table = tomllib.load(file)
    lists = {}
    for name, entry in table.items():
        lists[name] = WordList(
            entry["match"], tuple(entry["words"]), tuple(entry.get("patterns", ()))
        )
    return Words(**lists)
