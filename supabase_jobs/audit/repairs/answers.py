"""Answers of views and functions that a change makes wrong.

It may take rows from an answer, and parts of rows. What is left must be what it was: the number of
the rows that a caller reads is no number of all rows.
"""

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator

from supabase_jobs.audit.callers import MEMBER, OWNER
from supabase_jobs.audit.probes.bypass import Bypass, Inquiry
from supabase_jobs.audit.probes.comparison import has_number, words


def made_wrong(
    before: Iterable[Bypass], after: Iterable[Bypass], writing: Collection[int]
) -> Iterator[Inquiry]:
    """The statements with another answer than before. What others than the owner and members learn
    by a yes or no, or by a text, may be the leak; a number is wrong for everybody.

    The functions `writing`, by their oids, answer with ids of new rows.
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
    """Whether an answer has a line that is no part of one before; of `only_numbers`, those with a
    number.
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
