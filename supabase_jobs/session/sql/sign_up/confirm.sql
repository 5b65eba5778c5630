-- $1 users
-- The confirmation of the addresses and phone numbers. It is an UPDATE as in Auth, because some projects have a trigger on it.
update auth.users as confirmed
set
  email_confirmed_at = case when new_user.email is not null then now() end,
  phone_confirmed_at = case when new_user.phone is not null then now() end,
  updated_at = now()
from jsonb_to_recordset($1::jsonb) as new_user (id uuid, email text, phone text)
where confirmed.id = new_user.id and coalesce(new_user.email, new_user.phone) is not null
