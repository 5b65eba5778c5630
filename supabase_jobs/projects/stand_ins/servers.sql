-- Foreign servers without their options, which name a host, and without user mappings.
select
  null::text as extension,
  format('create server %I foreign data wrapper %I', s.srvname, w.fdwname) as statement
from pg_foreign_server as s
inner join pg_foreign_data_wrapper as w on s.srvfdw = w.oid
order by s.srvname
