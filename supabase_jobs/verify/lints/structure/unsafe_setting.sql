-- No setting of the server, the database or a role changes who makes a request, or what it may do: request settings have
-- no default, row level security and triggers stay on, transactions may write, the log has no values of statements, and the
-- configuration of PostgREST is not replaced.
-- A setting of the server is what the session of verify starts with, if no database and no role sets it. The rule never
-- shows the value of a secret or of a claim.
with setting as (
  select
    coalesce(g.rolname, 'database') as object,
    lower(split_part(c.setting, '=', 1)) as name,
    substr(c.setting, strpos(c.setting, '=') + 1) as value,
    r.setrole = 0 or api.is_role as serves_requests,
    coalesce(g.rolbypassrls or g.rolsuper, false) as bypasses,
    r.setrole in (0, to_regrole('authenticator')::oid) as configures_api,
    case
      when r.setrole = 0 and d.oid is null then 'alter role all'
      when r.setrole = 0 then format('alter database %I', d.datname)
      when d.oid is null then format('alter role %I', g.rolname)
      else format('alter role %I in database %I', g.rolname, d.datname)
    end as scope
  from pg_db_role_setting as r
  left join pg_roles as g on r.setrole = g.oid
  left join pg_database as d on r.setdatabase = d.oid
  cross join unnest(r.setconfig) as c (setting)
  cross join lateral (
    -- authenticator, and every role that it can switch to
    select coalesce(pg_has_role(to_regrole('authenticator')::oid, g.oid, 'member'), false) as is_role
  ) as api
  where (r.setdatabase = 0 or d.datname = current_database())
    and (r.setrole = 0 or api.is_role or g.rolname in ('postgres', 'supabase_auth_admin'))
  union all
  select
    'server',
    c.name,
    c.value,
    true,
    false,
    false,
    'alter system'
  from (
    select
      s.name,
      s.reset_val as value
    from pg_settings as s
    where s.name in (
        'row_security', 'session_replication_role', 'default_transaction_read_only', 'log_statement',
        'log_min_duration_statement', 'log_parameter_max_length_on_error'
      )
      and s.source <> 'client'
    union all
    -- pg_settings does not show settings that no module has defined
    select
      k.name,
      current_setting(k.name, true)
    from (
      values
      ('request.jwt.claims'), ('request.jwt.claim.sub'), ('request.jwt.claim.role'), ('request.headers')
    ) as k (name)
  ) as c
  where c.value <> ''
    and not exists (
      select 1
      from pg_db_role_setting as r
      left join pg_database as d on r.setdatabase = d.oid
      cross join unnest(r.setconfig) as o (setting)
      where (r.setdatabase = 0 or d.datname = current_database())
        and r.setrole in (0, to_regrole(session_user::text)::oid)
        and lower(split_part(o.setting, '=', 1)) = c.name
    )
)

select
  s.object,
  s.name,
  p.message,
  string_agg(
    format('%s reset %s;', s.scope, n.quoted)
    || case
      when s.name like 'pgrst.%' then format(' notify pgrst, %L;', 'reload config')
      when s.object = 'server' then ' select pg_reload_conf();'
      else ''
    end,
    ' ' order by s.scope
  ) as fix,
  p.severity,
  '{}'::text[] as facts
from setting as s
cross join lateral (
  select string_agg(quote_ident(u.part), '.' order by u.number) as quoted
  from string_to_table(s.name, '.') with ordinality as u (part, number)
) as n
cross join lateral (
  select
    'error' as severity,
    format('it sets a default for %s, which policies read as the caller''s', s.name) as message
  where s.name like 'request.%'
    and s.value <> ''
    and s.serves_requests
  union all
  select
    'error',
    format('its sessions start as role %s', s.value)
  where s.name in ('role', 'session_authorization')
    and s.value <> 'none'
    and s.serves_requests
  union all
  select
    'error',
    'it turns row_security off: queries that a policy restricts fail'
  where s.name = 'row_security'
    and not s.bypasses
    and not s.value::boolean
  union all
  select
    'error',
    'it sets session_replication_role to replica: triggers do not fire, and foreign keys are not enforced'
  where s.name = 'session_replication_role'
    and lower(s.value) = 'replica'
  union all
  -- the parameters of the statements of a request contain its headers and claims
  select
    'warning',
    'the log gets the values of statements, with the ids of guests, which are their passwords'
  where s.serves_requests
    and (
      s.name in ('log_statement', 'pgaudit.log_parameter') and lower(s.value) in ('all', 'mod', 'on', 'true', 'yes', '1')
      or s.name in ('log_min_duration_statement', 'auto_explain.log_min_duration') and s.value ~ '^0'
      or s.name in ('log_statement_sample_rate', 'log_transaction_sample_rate') and s.value ~ '^(1|0?[.]\d)'
      or s.name = 'log_parameter_max_length_on_error' and s.value !~ '^0'
    )
  union all
  select
    -- PostgREST says for each request whether it may write; Auth does not
    case when s.object in ('server', 'database', 'postgres', 'supabase_auth_admin') then 'error' else 'warning' end,
    'it makes transactions read-only: sign-ups, sign-ins and workers fail'
  where s.name = 'default_transaction_read_only'
    and s.value::boolean
  union all
  select
    'error',
    'Auth names no schemas, and with this search_path it finds other tables than its own: sign-ups fail'
  where s.name = 'search_path'
    and s.object = 'supabase_auth_admin'
    and exists (
      select
      from unnest(string_to_array(translate(s.value, '" ', ''), ',')) with ordinality as o (schema, number)
      inner join pg_class as c on c.relnamespace = to_regnamespace(quote_ident(o.schema))
      inner join pg_class as a on c.relname = a.relname and a.relnamespace = to_regnamespace('auth')
      where c.relkind in ('r', 'p', 'v', 'm', 'f')
        and a.relkind in ('r', 'p')
        and o.schema <> 'auth'
        and o.number < coalesce(array_position(string_to_array(translate(s.value, '" ', ''), ','), 'auth'), o.number + 1)
    )
  union all
  select
    'error',
    format('PostgREST takes the role of a request from %s of the token, not from its claim "role"', s.value)
  where s.name = 'pgrst.jwt_role_claim_key'
    and s.configures_api
    and regexp_replace(s.value, '[\s"$]', '', 'g') not in ('', '.role')
  union all
  select
    'error',
    'it replaces the key that PostgREST checks tokens with, and every role of the server can read it'
  where s.name = 'pgrst.jwt_secret'
    and s.configures_api
    and s.value <> ''
  union all
  select
    'warning',
    'every caller can read query plans, with estimates of rows that row level security hides'
  where s.name = 'pgrst.db_plan_enabled'
    and s.configures_api
    and lower(s.value) in ('true', 'on', 'yes', '1')
  union all
  select
    'info',
    format('%s can replace the configuration of PostgREST, and the rule does not read its body', s.value)
  where s.name = 'pgrst.db_pre_config'
    and s.configures_api
    and s.value <> ''
) as p
group by s.object, s.name, p.message, p.severity
