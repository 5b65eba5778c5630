-- $1 users
-- Users as Auth inserts them at sign-up, before they have confirmed their address.
insert into auth.users (
  instance_id, id, aud, role, email, encrypted_password,
  confirmation_token, recovery_token, email_change_token_new, email_change,
  raw_app_meta_data, raw_user_meta_data, created_at, updated_at, is_anonymous, phone
)
select
  '00000000-0000-0000-0000-000000000000',
  new_user.id,
  'authenticated',
  'authenticated',
  new_user.email,
  '',
  '',
  '',
  '',
  '',
  new_user.app_metadata,
  new_user.user_metadata,
  now(),
  now(),
  new_user.is_anonymous,
  new_user.phone
from jsonb_to_recordset($1::jsonb) as new_user (
  id uuid, email text, app_metadata jsonb, user_metadata jsonb, is_anonymous boolean, phone text
)
