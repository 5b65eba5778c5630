-- Functions of nobody's migration that run as their owner, whom row level security does not hold back, speak of a table,
-- and can be called by a request that row level security would hold back. By name in the body, and by
-- dependency where the body is parsed (begin atomic).
select
  format('%I.%I', n.nspname, c.relname) as object,
  'function that runs as its owner' as kind,
  f.signature as name,
  'for ' || g.roles as value,
  '' as mend,
  format('alter function %s security invoker;', f.signature) as remove,
  'error' as unexpected,
  'error' as differs
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
cross join lateral (
  select
    '(?<![\w.$"])(' || regexp_replace(n.nspname, '(\W)', '\\\1', 'g') || '\.|"' || regexp_replace(n.nspname, '(\W)', '\\\1', 'g')
    || '"\.)?"?' || regexp_replace(c.relname, '(\W)', '\\\1', 'g') || '"?(?![\w$])' as pattern
) as m
inner join lateral (
  select
    p.oid,
    p.pronamespace,
    format('%I.%I(%s)', s.nspname, p.proname, replace(oidvectortypes(p.proargtypes), ', ', ',')) as signature
  from pg_proc as p
  inner join pg_namespace as s on p.pronamespace = s.oid
  where p.prosecdef
    and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
    and (
      p.prosrc ~ m.pattern
      or exists (
        select 1 from pg_depend as d
        where d.classid = 'pg_proc'::regclass and d.objid = p.oid
          and d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid
      )
    )
) as f on true
cross join lateral (
  select string_agg(x.name, ', ' order by x.name) as roles
  from (
    select 'public' as name
    union
    select o.rolname::text
    from pg_roles as o
    where not o.rolbypassrls
      and (
        o.rolname in ('anon', 'authenticated')
        or (o.rolname <> 'authenticator' and pg_has_role(to_regrole('authenticator')::oid, o.oid, 'member'))
      )
  ) as x
  where has_function_privilege(x.name, f.oid, 'execute')
    and (has_schema_privilege(x.name, f.pronamespace, 'usage') or x.name = 'public')
) as g
where format('%I.%I', n.nspname, c.relname) = any($1)
  and c.relkind in ('r', 'p')
  -- of one more of a name of ours, it is said elsewhere
  and split_part(f.signature, '(', 1) not in (
    select split_part(s.name, '(', 1)
    from unnest($1::text[]) as s (name)
  )
  and g.roles is not null
