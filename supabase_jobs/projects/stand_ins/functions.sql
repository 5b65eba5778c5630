-- Functions of extensions, and those in a language other than sql and plpgsql: each records the call in its sequence of
-- records.sql, and returns nothing.
select
  e.extname::text as extension,
  format(
    'create function %I.%I(%s) returns %s language plpgsql volatile security definer set search_path = '''' as %L',
    n.nspname,
    p.proname,
    pg_get_function_arguments(p.oid),
    pg_get_function_result(p.oid),
    format('begin perform pg_catalog.nextval(%L::pg_catalog.regclass); %s end', format('supabase_jobs_copy.%I', p.proname), r.answer)
  ) as statement
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
inner join pg_language as l on p.prolang = l.oid
left join pg_depend as d on p.oid = d.objid and d.classid = 'pg_proc'::regclass and d.deptype = 'e'
left join pg_extension as e on d.refobjid = e.oid and d.refclassid = 'pg_extension'::regclass
cross join lateral (
  select
    case
      when p.proretset or p.prorettype in ('void'::regtype, 'event_trigger'::regtype) then 'return;'
      when p.prorettype = 'trigger'::regtype then 'return coalesce(new, old);'
      else 'return null;'
    end as answer
) as r
where
  p.prokind = 'f'
  and n.nspname not in ('pg_catalog', 'information_schema')
  and (e.oid is not null or l.lanname not in ('sql', 'plpgsql'))
order by n.nspname, p.proname, p.oid
