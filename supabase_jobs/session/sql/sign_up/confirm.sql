-- $1 users
-- The confirmation of the addresses. It is an UPDATE as in Auth, because some projects have a trigger on it.
update auth.users as confirmed
set email_confirmed_at = now(), updated_at = now()
from jsonb_to_recordset($1::jsonb) as new_user (id uuid, email text)
where confirmed.id = new_user.id and new_user.email is not null
