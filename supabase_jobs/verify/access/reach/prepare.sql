-- A session of the caller, and what could be shown of another user and of the backend: tokens, a secret of Vault, a setting,
-- requests of the server and their answers, and the command of a scheduled job. What cannot be inserted is left out.
do $$
<<prepare>>
declare
  victim constant uuid := current_setting('verify.victim');
  own constant uuid := current_setting('verify.own');
  secret constant text := current_setting('verify.secret');
  name text;
  row jsonb;
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
  -- the columns that a table of Auth has
  for name, row in
    select r.name, r.row
    from (
      values
      (1, 'sessions', jsonb_build_object('id', victim, 'user_id', victim, 'user_agent', secret || ' device')),
      (1, 'sessions', jsonb_build_object('id', own, 'user_id', own)),
      -- the sequence may be behind rows that were copied with their numbers
      (2, 'refresh_tokens', jsonb_build_object('id', -1, 'token', secret || ' token', 'user_id', victim, 'session_id', victim)),
      -- an argument is often one text for both
      (
        3, 'identities',
        jsonb_build_object('provider_id', 'verify ' || victim, 'user_id', victim, 'identity_data', jsonb_build_object('sub', victim))
        || jsonb_build_object('provider', 'verify ' || victim)
      ),
      (
        4, 'identities',
        jsonb_build_object('provider_id', 'google', 'user_id', victim, 'identity_data', jsonb_build_object('sub', victim))
        || jsonb_build_object('provider', 'google')
      ),
      (
        5, 'mfa_factors',
        jsonb_build_object(
          'id', victim, 'user_id', victim, 'factor_type', 'totp', 'status', 'verified', 'secret', secret || ' token',
          'created_at', now(), 'updated_at', now()
        )
      ),
      (
        6, 'one_time_tokens',
        jsonb_build_object(
          'id', victim, 'user_id', victim, 'token_type', 'recovery_token', 'token_hash', secret || ' token',
          'relates_to', current_setting('verify.email'), 'created_at', now() + interval '1 day'
        )
      ),
      (
        7, 'audit_log_entries',
        jsonb_build_object(
          'id', victim, 'created_at', now(), 'ip_address', '',
          'payload', jsonb_build_object('actor_id', victim, 'actor_username', current_setting('verify.email'), 'traits', secret || ' entry')
        )
      )
    ) as r (number, name, row)
    order by r.number
  loop
    begin
      execute (
        select format(
          'insert into auth.%1$I (%2$s) select %2$s from jsonb_populate_record(null::auth.%1$I, $1)', name,
          string_agg(quote_ident(a.attname), ', ')
        )
        from pg_attribute as a
        where a.attrelid = to_regclass('auth.' || name) and row ? a.attname
      ) using row;
    exception when others then
      null;
    end;
  end loop;
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
  -- each bucket with a file in the folder of the user, and one more that nobody knows
  begin
    insert into storage.buckets (id, name) values ('verify', 'verify');
  exception when others then
    null;
  end;
  begin
    insert into storage.objects (bucket_id, name, owner)
    select b.id, victim || case when b.public then '/open.json' else '/' || secret || ' file.json' end, victim
    from storage.buckets as b;
    -- also in the folders that policies name, unless they say that it is public
    insert into storage.objects (bucket_id, name, owner)
    select distinct b.id, m.literal[1] || '/' || victim || '/' || secret || ' file.json', victim
    from storage.buckets as b
    inner join pg_policy as p on p.polrelid = to_regclass('storage.objects') and p.polcmd in ('r', '*')
    cross join regexp_matches(pg_get_expr(p.polqual, p.polrelid), '''([^'']+)''', 'g') as m (literal)
    where not b.public and m.literal[1] <> b.id and m.literal[1] !~* 'public';
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
