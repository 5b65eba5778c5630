-- $1 victim, $2 caller
-- The other user has another address and number and was here at another time, and nobody has confirmed the caller's address.
update auth.users as u
set
  email = case u.id when $1 then 'verify.' || u.id || '@verify.invalid' else u.email end,
  phone = case u.id when $1 then null else u.phone end,
  last_sign_in_at = case u.id when $1 then '2001-01-01' else u.last_sign_in_at end,
  email_confirmed_at = case u.id when $1 then u.email_confirmed_at end
where u.id in ($1, $2)
