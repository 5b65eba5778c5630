-- No user event trigger grants privileges to the roles of the API or disables row level security: it would do so for
-- every object that a later migration creates.
-- The rule reads the body of the function, of whatever extension it is a member; a grant or a policy can be intended, and
-- is a warning. It ignores the event triggers of Supabase.
select
  e.evtname::text as object,
  '' as name,
  format('at each %s, %s %s', e.evtevent, f.object, string_agg(w.what, ' and ' order by w.what)) as message,
  format('drop event trigger %I;', e.evtname) as fix,
  case when bool_or(w.is_error) then 'error' else 'warning' end as severity,
  '{}'::text[] as facts
from pg_event_trigger as e
inner join pg_proc as p on e.evtfoid = p.oid
inner join pg_namespace as n on p.pronamespace = n.oid
inner join pg_language as l on p.prolang = l.oid
cross join lateral (
  select
    format('%I.%I()', n.nspname, p.proname) as object,
    regexp_replace(regexp_replace(p.prosrc, '/\*.*?\*/', ' ', 'g'), '--[^\n]*', ' ', 'g') as body
) as f
cross join lateral (
  select
    'grants privileges to a role of the API' as what,
    false as is_error
  where f.body ~* '\mgrant\M[^;]*\mto\s+([^;]*,\s*)?"?(anon|authenticated|public)"?\M'
    -- the grantee is a parameter
    or (f.body ~* '\mgrant\M[^;]*\mto\s+(%|''\s*\|\|)' and f.body ~* '''(anon|authenticated)''')
  union all
  select
    'creates policies',
    false
  where f.body ~* '\mcreate\s+policy\M'
  union all
  select
    'disables row level security',
    true
  where f.body ~* '\mdisable\s+row\s+level\s+security\M'
  union all
  select
    'gives objects to a role of the API',
    true
  where f.body ~* '\mowner\s+to\s+"?(anon|authenticated|service_role|authenticator)"?\M'
) as w
where e.evtenabled <> 'D'
  and l.lanname not in ('c', 'internal')
  and (n.nspname, p.proname) not in (
    ('extensions', 'grant_pg_cron_access'),
    ('extensions', 'grant_pg_graphql_access'),
    ('extensions', 'grant_pg_net_access'),
    ('extensions', 'set_graphql_placeholder'),
    ('extensions', 'pgrst_ddl_watch'),
    ('extensions', 'pgrst_drop_watch'),
    ('extensions', 'notify_api_restart')
  )
group by e.evtname, e.evtevent, f.object
