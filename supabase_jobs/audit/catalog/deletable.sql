-- $1 oids of tables
-- Those whose rows the connection's role may count and delete.
select t.oid::bigint as oid
from unnest($1::oid []) as t (oid)
where has_table_privilege(t.oid, 'SELECT') and has_table_privilege(t.oid, 'DELETE')
