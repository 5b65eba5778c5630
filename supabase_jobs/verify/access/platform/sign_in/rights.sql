-- $1 user
-- What Auth puts into the tokens of a user, and users do not write.
select
  to_jsonb(u) ->> 'role' as role,
  to_jsonb(u) -> 'is_super_admin' as is_super_admin,
  to_jsonb(u) -> 'raw_app_meta_data' as app_metadata
from auth.users as u
where u.id = $1::uuid
