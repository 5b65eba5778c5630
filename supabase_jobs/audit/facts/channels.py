"""Topics of Realtime, and who receives and sends on them."""

from collections.abc import Sequence
from dataclasses import dataclass

from supabase_jobs.audit.facts.actors import Actor


@dataclass(frozen=True)
class ChannelPolicy:
    """A permissive policy of realtime.messages."""

    name: str
    visible: str | None
    checked: str | None


@dataclass(frozen=True)
class Channel:
    """A topic of Realtime: `label` in reports, the text before the id, and the table of the row
    whose id follows; '' for the id of a user.

    `own` is the SQL condition that a topic is one of a row that the caller can read, or of the
    caller.
    """

    label: str
    prefix: str
    table: str
    own: str


@dataclass(frozen=True, eq=False, kw_only=True)
class ChannelTried:
    """A caller receives (select) or sends (insert) on a topic. `policies` may have let it pass.

    `reads_row`: the caller can read the row of the topic.
    """

    actor: Actor
    channel: Channel
    action: str
    outcome: str
    reads_row: bool
    policies: Sequence[ChannelPolicy]
