-- What could be shown of another user and of the backend: tokens, a secret of Vault, a setting, requests of the server and
-- their answers, and the command of a scheduled job. What cannot be inserted is left out.
do $$
<<prepare>>
declare
  victim constant uuid := current_setting('verify.victim');
  secret constant text := current_setting('verify.secret');
  name text;
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
    -- each kind of token that this version of Auth keeps in the row
    execute (
      select format(
        'update auth.users set encrypted_password = $1, last_sign_in_at = now() - interval ''1 hour'', %s where id = $2',
        string_agg(format('%I = $1', a.attname), ', ')
      )
      from pg_attribute as a
      where a.attrelid = 'auth.users'::regclass
        and a.attname ~ 'token'
        and a.atttypid in ('text'::regtype, 'varchar'::regtype)
        and a.attgenerated = ''
        and not a.attisdropped
    ) using secret || ' token', victim;
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
    -- an argument is often one text for both
    insert into auth.identities (provider_id, user_id, identity_data, provider)
    select 'verify ' || victim, victim, jsonb_build_object('sub', victim), p.name
    from (values ('verify ' || victim), ('google')) as p (name);
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
    values (victim, victim, 'recovery_token', secret || ' token', current_setting('verify.email'), now() + interval '1 day');
  exception when others then
    null;
  end;
  begin
    insert into auth.audit_log_entries (id, payload, created_at, ip_address)
    values (
      victim,
      json_build_object('actor_id', victim, 'actor_username', current_setting('verify.email'), 'traits', secret || ' entry'),
      now(), ''
    );
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
  -- also under the names that functions read, unless they say that it is public
  for name in
    select 'verify ' || victim
    union
    select m.literal[1]
    from pg_proc as p
    cross join regexp_matches(p.prosrc, '''([^'']+)''', 'g') as m (literal)
    where p.prosrc ~* '\mvault\s*\.'
      and p.pronamespace not in ('pg_catalog'::regnamespace, coalesce(to_regnamespace('vault'), 'pg_catalog'::regnamespace))
      and m.literal[1] !~* '(url|host|anon|public|publishable)'
  loop
    begin
      if exists (select from vault.secrets as s where s.name = prepare.name) then
        perform vault.update_secret(s.id, prepare.secret || ' key') from vault.secrets as s where s.name = prepare.name;
      else
        perform vault.create_secret(secret || ' key', name);
      end if;
    exception when others then
      null;
    end;
  end loop;
end
$$
