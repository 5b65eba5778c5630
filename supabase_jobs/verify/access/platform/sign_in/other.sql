-- $1 user
-- The row and the sessions of another user.
select
  to_jsonb(u)::text as account,
  array(
    select s.id from auth.sessions as s
    where s.user_id = u.id
    order by s.id
  ) as sessions
from auth.users as u
where u.id = $1::uuid
