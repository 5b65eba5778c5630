-- The statements that give the copy the privileges on the database.
select s.statement
from pg_database as d
cross join lateral (
  select
    0 as place,
    'revoke all on database postgres from public' as statement

  union all

  select
    1 as place,
    format(
      'grant %s on database postgres to %s%s',
      a.privilege_type,
      coalesce(quote_ident(pg_get_userbyid(nullif(a.grantee, 0))), 'public'),
      case when a.is_grantable and a.grantee <> d.datdba then ' with grant option' else '' end
    ) as statement
  from aclexplode(d.datacl) as a
) as s
where d.datname = current_database() and d.datacl is not null
order by s.place, s.statement
