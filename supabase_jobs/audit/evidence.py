"""The evidence of an audit, while its rows exist: who tried what, and the leaks that it shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.leaks.leak import AnyLeak
from supabase_jobs.audit.probes.attempt import Attempt
from supabase_jobs.audit.probes.bypass import Bypass
from supabase_jobs.audit.probes.escalation import Gain
from supabase_jobs.audit.probes.topics import TopicAttempt
from supabase_jobs.audit.rows.build import World
from supabase_jobs.session.impersonation import Impersonation


@dataclass(frozen=True, eq=False, kw_only=True)
class Evidence:
    """The evidence of an audit. `leaks` has the leaks, and the access beyond a baseline, by the ids
    of their findings.
    """

    impersonation: Impersonation
    world: World
    callers: Sequence[Persona]
    attempts: Sequence[Attempt]
    gains: Sequence[Gain]
    bypasses: Sequence[Bypass]
    channels: Sequence[TopicAttempt]
    leaks: Mapping[str, AnyLeak]
