-- $1 users
-- The statements of insert.sql and confirm.sql for an auth.users that lacks some of their columns.
with present as (
  select a.attname
  from pg_attribute as a
  where a.attrelid = 'auth.users'::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
)

select format(
  'insert into auth.users (%s) select %s from jsonb_to_recordset(%L::jsonb) as new_user ('
  || 'id uuid, email text, app_metadata jsonb, user_metadata jsonb, is_anonymous boolean, phone text)',
  string_agg(quote_ident(wanted.name), ', ' order by wanted.place),
  string_agg(wanted.value, ', ' order by wanted.place),
  $1::jsonb
)
from (
  values
  (1, 'id', 'id'),
  (2, 'aud', '''authenticated'''),
  (3, 'role', '''authenticated'''),
  (4, 'email', 'email'),
  (5, 'raw_app_meta_data', 'app_metadata'),
  (6, 'raw_user_meta_data', 'user_metadata'),
  (7, 'created_at', 'now()'),
  (8, 'updated_at', 'now()'),
  (9, 'is_anonymous', 'is_anonymous'),
  (10, 'phone', 'phone')
) as wanted (place, name, value)
where wanted.name = any(
  select present.attname from present
)
union all
select format(
  'update auth.users as confirmed set email_confirmed_at = now()'
  || ' from jsonb_to_recordset(%L::jsonb) as new_user (id uuid, email text)'
  || ' where confirmed.id = new_user.id and new_user.email is not null',
  $1::jsonb
)
where exists (
  select
  from present
  where present.attname = 'email_confirmed_at'
)
