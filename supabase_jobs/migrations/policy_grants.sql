-- The tables of supautils.policy_grants for this role: each change of a policy locks them until commit.
-- The setting is JSON: role → tables.
select tables.table_name
from
  pg_catalog.jsonb_array_elements_text(
    nullif(pg_catalog.current_setting('supautils.policy_grants', true), '')::pg_catalog.jsonb -> current_user::text
  ) as tables (table_name)
