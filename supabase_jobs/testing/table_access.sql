-- Privileges of a role ($3) on tables (schemas $1, names $2), the state of row level security, and the policies that
-- apply to the role. For the message of a failed assertion.
select
  format('%I.%I', n.nspname, c.relname) as name,
  c.relrowsecurity as row_security,
  (
    r.rolsuper or r.rolbypassrls
    or (pg_has_role(r.oid, c.relowner, 'usage') and not c.relforcerowsecurity)
  ) as bypassed,
  array_remove(array[
    case when has_any_column_privilege(r.oid, c.oid, 'select') then 'select' end,
    case when has_any_column_privilege(r.oid, c.oid, 'insert') then 'insert' end,
    case when has_any_column_privilege(r.oid, c.oid, 'update') then 'update' end,
    case when has_table_privilege(r.oid, c.oid, 'delete') then 'delete' end,
    case when has_table_privilege(r.oid, c.oid, 'truncate') then 'truncate' end
  ], null) as privileges,
  array(
    select
      concat_ws(
        ' ',
        quote_ident(p.polname),
        case when not p.polpermissive then 'as restrictive' end,
        'for',
        case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
        'using (' || pg_get_expr(p.polqual, p.polrelid) || ')',
        'with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')'
      )
    from pg_policy as p
    where p.polrelid = c.oid
      and exists (
        select from unnest(p.polroles) as g (oid)
        where case when g.oid = 0 then true else pg_has_role(r.oid, g.oid, 'usage') end
      )
    order by 1
  ) as policies
from unnest($1::text[], $2::text[]) as w (schema, relation)
inner join pg_namespace as n on w.schema = n.nspname
inner join pg_class as c on n.oid = c.relnamespace and w.relation = c.relname
cross join pg_roles as r
where r.rolname = $3::text
order by 1
