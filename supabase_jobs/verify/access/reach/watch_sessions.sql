-- $1 victim
-- The sessions and refresh tokens of another user.
select
  'another session' as what,
  to_jsonb(s)::text as value
from auth.sessions as s
where s.user_id = $1
union all
select
  'another session',
  to_jsonb(t)::text
from auth.refresh_tokens as t
where t.user_id = $1::text
