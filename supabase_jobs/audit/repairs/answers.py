"""Answers of views and functions that a change makes wrong.

A repair may take rows from an answer, and parts of rows, but the rest must stay as it was: a view
that counted all rows must not count only those that its caller reads.
"""

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator

from supabase_jobs.audit.callers import MEMBER, OWNER
from supabase_jobs.audit.probes.bypass import Bypass, Inquiry
from supabase_jobs.audit.probes.comparison import has_number, words


def made_wrong(
    before: Iterable[Bypass], after: Iterable[Bypass], writing: Collection[int]
) -> Iterator[Inquiry]:
    """The statements whose answers a change makes wrong. For callers other than the owner and
    members only numbers are compared, because a text, or a yes or no, may be the leak.

    Functions whose oids are in `writing` are left out: they answer with ids of new rows.
    """
    now = {_key(one): one for one in _answered(after)}
    for one in _answered(before):
        then = now.get(_key(one))
        if then is None or one.object.oid in writing:
            continue
        first, second = one.answer.text, then.answer.text
        if is_wrong(first, second, only_numbers=one.caller.kind not in (OWNER, MEMBER)):
            yield one


def _answered(tried: Iterable[Bypass]) -> list[Inquiry]:
    return [one for one in tried if isinstance(one, Inquiry) and one.answer.text]


def is_wrong(before: str, after: str, *, only_numbers: bool = False) -> bool:
    """Whether an answer has a line that is not a part of a line before. With `only_numbers`, lines
    without a number are not compared.
    """
    lines = set(before.splitlines())
    known = [Counter(words(line)) for line in lines]
    for line in set(after.splitlines()) - lines:
        if only_numbers and not has_number(line):
            continue
        new = Counter(words(line))
        if not any(new <= one for one in known):
            return True
    return False


def _key(one: Inquiry) -> Hashable:
    return one.caller.label, one.label, one.inquiry.sql
