-- $1 names, $2 callers
-- The functions of these names that each of these roles can call itself: whether they run as their owner, and their bodies.
select
  format('%I.%I', n.nspname, p.proname) as name,
  bool_and(p.prosecdef) as as_owner,
  string_agg(p.prosrc, ' ') as body
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
where format('%I.%I', n.nspname, p.proname) = any($1)
group by n.nspname, p.proname
having bool_and(
    not exists (
      select
      from unnest($2::text[]) as r (name)
      where not has_function_privilege(r.name, p.oid, 'execute') or not has_schema_privilege(r.name, p.pronamespace, 'usage')
    )
  )
