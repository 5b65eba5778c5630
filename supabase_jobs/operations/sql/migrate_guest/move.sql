-- $1 guest, $2 account
-- The function holds the rules: who may call it, and how the guest is marked.
select m.migrated_count as moved
from public.migrate_guest_jobs($1::pg_catalog.uuid, $2::pg_catalog.uuid) as m
