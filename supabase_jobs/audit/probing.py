"""Try everything that the callers of a scene may do, as far as the time is enough."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from supabase_jobs.audit.configuration import CHANNELS
from supabase_jobs.audit.options import PARTS, Options
from supabase_jobs.audit.probes import exclusions, topics
from supabase_jobs.audit.probes.attempt import AnyAttempt
from supabase_jobs.audit.probes.bypass import Bypass
from supabase_jobs.audit.probes.control_calls import Stopped
from supabase_jobs.audit.probes.tables import Probes
from supabase_jobs.audit.probes.topics import TopicAttempt
from supabase_jobs.audit.probes.views_and_functions import Bypasses
from supabase_jobs.audit.scene import Scene
from supabase_jobs.findings import NotTested
from supabase_jobs.session.deadline import Deadline, DeadlineError
from supabase_jobs.session.savepoint import undone


@dataclass(eq=False, kw_only=True)
class Run:
    """All that was tried in a scene: the attempts of `probes` on tables, uses of views and
    functions, and topics of channels. `writes_to_users` are writes of auth.users by views.
    `without_call` are the functions that nobody got through. `is_stopped`: the time was over
    before all was tried.
    """

    scene: Scene
    probes: Probes
    bypasses: list[Bypass] = field(default_factory=list)
    writes_to_users: Sequence[Bypass] = ()
    channels: Sequence[TopicAttempt] = ()
    without_call: Sequence[Stopped] = ()
    not_tested: list[NotTested] = field(default_factory=list)
    is_stopped: bool = False

    @property
    def tried(self) -> tuple[AnyAttempt, ...]:
        """All attempts on tables, views, functions and topics."""
        return (*self.probes.attempts, *self.bypasses, *self.channels)


def run(scene: Scene, options: Options, deadline: Deadline) -> Run:
    """Try everything; the changes are undone."""
    probes = Probes(scene.impersonation, scene.world, scene.callers, deadline)
    found = Run(scene=scene, probes=probes, not_tested=[*scene.not_tested])
    with undone(scene.impersonation.connection):
        try:
            options.advance(2, PARTS)
            probes.run(scene.selection.relations)
            options.advance(3, PARTS)
            _try_views_and_functions(found)
        except DeadlineError:
            found.is_stopped = True
    options.advance(4, PARTS)
    if not found.is_stopped and _has_channels(options):
        with undone(scene.impersonation.connection):
            try:
                _try_topics(found, deadline)
            except DeadlineError:
                found.is_stopped = True
    return found


def _try_views_and_functions(found: Run) -> None:
    scene, probes = found.scene, found.probes
    acting, world, called = scene.impersonation, scene.world, scene.selection.called
    bypasses = Bypasses(acting, world, scene.callers, probes, found.bypasses)
    bypasses.run(scene.selection.views, called)
    found.writes_to_users = bypasses.writes_to_users
    found.not_tested += bypasses.not_compared
    found.without_call = bypasses.stopped(called)
    exclusions.try_functions(acting, world, probes.exclusions, called, probes.prober)


def _has_channels(options: Options) -> bool:
    """Whether topics are tried: they belong to no schema and no table."""
    narrowed = options.tables or options.schemas
    return not narrowed and CHANNELS not in options.files.configuration.excluded


def _try_topics(found: Run, deadline: Deadline) -> None:
    scene = found.scene
    acting, world = scene.impersonation, scene.world
    found.channels, not_tested = topics.run(acting, deadline, world, scene.callers)
    topics.run_excluded(acting, deadline, found.channels, found.probes.exclusions)
    found.not_tested += not_tested
