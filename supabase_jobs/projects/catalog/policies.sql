-- $1 platform_schemas
-- Policies of the project's tables, and of those of Storage and Realtime, which belong to the project.
select
  p.object,
  'policy' as kind,
  p.polname::text as name,
  '[]'::jsonb as parents,
  s.text as value,
  format('create policy %I on %s %s;', p.polname, p.object, s.text) as create_sql,
  format('drop policy %I on %s;', p.polname, p.object) as drop_sql,
  null as replace_sql
from (
  select
    p.*,
    format('%I.%I', n.nspname, c.relname) as object
  from pg_policy as p
  inner join pg_class as c on p.polrelid = c.oid
  inner join pg_namespace as n on c.relnamespace = n.oid
  where n.nspname !~ '^pg_'
    and (n.nspname <> all($1) or n.nspname in ('storage', 'realtime'))
) as p
cross join lateral (
  select
    concat_ws(
      ' ',
      case when p.polpermissive then 'as permissive' else 'as restrictive' end,
      'for',
      case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
      'to',
      (
        select string_agg(case r.oid when 0 then 'public' else quote_ident(pg_get_userbyid(r.oid)) end, ', ' order by 1)
        from unnest(p.polroles) as r (oid)
      ),
      'using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
      'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')'
    ) as text
) as s
