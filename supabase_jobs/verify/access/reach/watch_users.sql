-- $1 victim, $2 caller
-- The row of another user without its times, what decides the role of the caller's next token, its addresses, what tokens say
-- of it, and whether text of the caller was run.
select
  'another user' as what,
  (to_jsonb(u) - array['updated_at', 'last_sign_in_at', 'confirmed_at'])::text as value
from auth.users as u
where u.id = $1
union all
select
  'own role',
  concat_ws(' ', to_jsonb(u) ->> 'role', to_jsonb(u) ->> 'is_super_admin')
from auth.users as u
where u.id = $2
  and (to_jsonb(u) ->> 'role' in ('service_role', 'supabase_admin', 'postgres') or (to_jsonb(u) -> 'is_super_admin')::text = 'true')
union all
select
  'own address',
  concat_ws(' ', u.email, to_jsonb(u) ->> 'phone')
from auth.users as u
where u.id = $2
union all
select
  'own confirmation',
  u.email_confirmed_at::text
from auth.users as u
where u.id = $2
union all
select
  'own claims',
  (to_jsonb(u) -> 'raw_app_meta_data')::text
from auth.users as u
where u.id = $2
union all
select
  'run',
  current_setting('verify.reached', true)
