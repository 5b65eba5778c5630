-- $1 user
-- The last update of a sign-in.
update auth.users as u set last_sign_in_at = now(), updated_at = now()
where u.id = $1::uuid
