-- What could be shown of another user and of the backend: tokens, a secret of Vault, a setting, requests of the server and
-- their answers, and the command of a scheduled job. What cannot be inserted is left out.
do $$
declare
  victim constant uuid := current_setting('verify.victim');
  secret constant text := current_setting('verify.secret');
begin
  perform set_config('verify.email', coalesce((select u.email from auth.users as u where u.id = victim), ''), true);
  begin
    update auth.users as u set phone = current_setting('verify.phone') where u.id = victim;
  exception when others then
    null;
  end;
  -- continues a regular expression
  perform set_config(
    'verify.of_user',
    coalesce(string_agg('|' || regexp_replace(o.value, '(\W)', '\\\1', 'g'), ''), ''),
    true
  )
  from (values (current_setting('verify.email')), (current_setting('verify.phone'))) as o (value)
  where o.value <> '';
  perform set_config('verify.canary', secret || ' setting', true);
  begin
    update auth.users as u
    set recovery_token = secret || ' token', encrypted_password = secret || ' token', last_sign_in_at = now() - interval '1 hour'
    where u.id = victim;
  exception when others then
    null;
  end;
  begin
    insert into auth.sessions (id, user_id) values (victim, victim);
  exception when others then
    null;
  end;
  begin
    -- the sequence may be behind rows that were copied with their numbers
    insert into auth.refresh_tokens (id, token, user_id, session_id) values (-1, secret || ' token', victim, victim);
  exception when others then
    null;
  end;
  begin
    insert into auth.identities (provider_id, user_id, identity_data, provider)
    values (secret, victim, jsonb_build_object('sub', victim), 'verify');
  exception when others then
    null;
  end;
  begin
    insert into auth.mfa_factors (id, user_id, factor_type, status, created_at, updated_at, secret)
    values (victim, victim, 'totp', 'verified', now(), now(), secret || ' token');
  exception when others then
    null;
  end;
  begin
    insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to, created_at)
    values (victim, victim, 'recovery_token', secret || ' token', 'verify', now() + interval '1 day');
  exception when others then
    null;
  end;
  begin
    insert into auth.audit_log_entries (id, payload, created_at, ip_address)
    values (victim, json_build_object('actor_username', secret || ' entry'), now(), '');
  exception when others then
    null;
  end;
  begin
    insert into net._http_response (id, status_code, content) values (-1, 200, secret || ' answer');
  exception when others then
    null;
  end;
  begin
    insert into net.http_request_queue (method, url, headers, timeout_milliseconds)
    values ('POST', 'https://verify.invalid', jsonb_build_object('authorization', secret || ' header'), 1000);
  exception when others then
    null;
  end;
  begin
    perform cron.schedule('verify', '0 0 1 1 *', format('select %L', secret || ' command'));
  exception when others then
    null;
  end;
  begin
    perform vault.create_secret(secret || ' key', 'verify ' || victim);
  exception when others then
    null;
  end;
end
$$
