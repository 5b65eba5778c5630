-- What the platform runs besides requests: whether this session can act as Auth, the tables of a sign-in, and the user
-- functions that Auth and the API call. Each with its text, and the string literals of that: the names of what it reads.
with body as materialized (
  select
    p.oid,
    p.prosrc as text,
    format('%I.%I', n.nspname, p.proname) as name,
    array(
      select distinct m.literal[1] from regexp_matches(p.prosrc, '''((?:[^'']|'''')*)''', 'g') as m (literal)
    ) as literals
  from pg_proc as p
  inner join pg_namespace as n on p.pronamespace = n.oid
  inner join pg_language as l on p.prolang = l.oid
  where l.lanname not in ('c', 'internal')
)

select
  'acts as Auth' as kind,
  r.rolname::text as name,
  '' as text,
  '{}'::text[] as literals
from pg_roles as r
where r.rolname = 'supabase_auth_admin'
  and pg_has_role(
    r.oid, case when current_setting('server_version_num')::integer >= 160000 then 'SET' else 'MEMBER' end
  )
union all
select
  'table',
  format('auth.%s', t.name),
  '',
  '{}'
from (values ('sessions'), ('refresh_tokens')) as t (name)
where has_table_privilege(to_regclass('auth.' || t.name), 'insert')
union all
-- older versions of Auth have other columns
select
  'table',
  'auth.identities',
  '',
  '{}'
from pg_attribute as a
where a.attrelid = to_regclass('auth.identities')
  and a.attname = 'provider_id'
  and has_table_privilege(a.attrelid, 'insert')
union all
-- what runs when somebody signs up, in or out
select distinct
  'trigger of Auth',
  format('auth.%I', c.relname),
  '',
  '{}'::text[]
from pg_trigger as t
inner join pg_class as c on t.tgrelid = c.oid
where c.relnamespace = to_regnamespace('auth')
  and not t.tgisinternal
  and t.tgenabled <> 'D'
union all
-- who a request is, with what that calls
select
  'identity',
  b.name,
  b.text || coalesce(string_agg(c.text, ' '), ''),
  b.literals
from body as b
left join body as c on c.name not like 'auth.%' and position(c.name || '(' in b.text) > 0
where b.name in ('auth.uid', 'auth.jwt')
group by b.name, b.text, b.literals
union all
-- hooks of other events have other arguments, but no claims
select
  case when b.text ~ '\mclaims\M' then 'token hook' else 'other hook' end,
  b.name,
  b.text,
  b.literals
from body as b
inner join pg_proc as p on b.oid = p.oid
where p.proargtypes = array['jsonb'::regtype]::oidvector
  and p.prorettype = 'jsonb'::regtype
  and p.pronamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
  and exists (
    select 1 from aclexplode(p.proacl) as a
    where a.grantee = to_regrole('supabase_auth_admin') and a.privilege_type = 'EXECUTE'
  )
union all
select
  'function before requests',
  s.name,
  coalesce(b.text, ''),
  coalesce(b.literals, '{}')
from pg_db_role_setting as r
left join pg_database as d on r.setdatabase = d.oid
cross join unnest(r.setconfig) as c (setting)
cross join lateral (select substr(c.setting, length('pgrst.db_pre_request=') + 1) as name) as s
left join body as b on to_regproc(s.name)::oid = b.oid
where r.setrole = to_regrole('authenticator')::oid
  and (d.oid is null or d.datname = current_database())
  and starts_with(c.setting, 'pgrst.db_pre_request=')
  and s.name <> ''
union all
select
  'event trigger of logins',
  e.evtname::text,
  b.text,
  b.literals
from pg_event_trigger as e
inner join body as b on e.evtfoid = b.oid
inner join pg_proc as p on e.evtfoid = p.oid
inner join pg_language as l on p.prolang = l.oid
where e.evtevent = 'login'
  and e.evtenabled <> 'D'
  and l.lanname = 'plpgsql'
union all
select
  'sign-up trigger',
  b.name,
  b.text,
  b.literals
from body as b
where exists (
    select from pg_trigger as t
    where t.tgfoid = b.oid and t.tgrelid = to_regclass('auth.users') and not t.tgisinternal and t.tgenabled <> 'D'
  )
