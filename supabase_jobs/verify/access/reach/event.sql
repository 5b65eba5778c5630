-- What Auth passes to its hooks: to those that send a message, with the code in it, and to those that check an attempt.
select set_config(
  'verify.event',
  jsonb_build_object(
    'user_id', u.id,
    'user', jsonb_build_object('id', u.id, 'email', current_setting('verify.email'), 'phone', current_setting('verify.phone')),
    'email_data', jsonb_build_object(
      'token', c.code, 'token_hash', c.code, 'token_new', c.code, 'token_hash_new', c.code,
      'email_action_type', 'recovery', 'redirect_to', 'https://verify.invalid', 'site_url', 'https://verify.invalid'
    ),
    'sms', jsonb_build_object('otp', c.code),
    'factor_id', u.id,
    'valid', true
  )::text,
  true
)
from (values (current_setting('verify.victim'))) as u (id)
cross join (values (current_setting('verify.secret') || ' token')) as c (code)
