-- $1 user
-- The row of another user.
select to_jsonb(u)::text as account
from auth.users as u
where u.id = $1::uuid
