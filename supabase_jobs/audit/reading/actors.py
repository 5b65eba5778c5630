"""Reads callers as the actors of facts."""

from supabase_jobs.audit.callers import Persona
from supabase_jobs.audit.facts.actors import Actor, Membership


class Actors:
    """The actors of an audit: one for each caller."""

    def __init__(self) -> None:
        self._actors: dict[int, Actor] = {}

    def of(self, caller: Persona) -> Actor:
        """The actor of a caller."""
        if id(caller) not in self._actors:
            user, membership = caller.user, None
            listed = None if user is None else user.listed
            state = None if user is None else user.state
            if user is not None and user.membership is not None:
                membership = Membership(
                    table=user.membership.relation.label,
                    role=user.role,
                    strongest=next(iter(user.membership.roles), ""),
                    in_both=user.in_both,
                )
            self._actors[id(caller)] = Actor(
                label=caller.label,
                kind=caller.kind,
                role=caller.role,
                is_outsider=caller.is_outsider,
                link="" if user is None or user.link is None else user.link.relation.label,
                membership=membership,
                remedy="" if caller.ended is None else caller.ended.advice,
                mark="" if caller.ended is None else caller.ended.column,
                claim=".".join(caller.claim),
                listing="" if listed is None else listed.listing.relation.label,
                listed="" if listed is None else listed.listing.of.label,
                post="" if user is None or user.post is None else user.post.relation.label,
                is_elsewhere=caller.is_elsewhere,
                bears=caller.bears,
                row_of=caller.row_of,
                held={} if not caller.row_of or state is None else state.values,
                has_header_of_row=caller.has_header_of_row,
                is_made=caller.is_made,
            )
        return self._actors[id(caller)]
