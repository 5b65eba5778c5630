-- For one transaction. Row security: an error rather than silently nothing, for a role that it would hold back.
-- Locks: an ALTER TABLE in the way is not waited for long. And one plan only, by the indexes in their order: on a
-- table whose statistics lag behind, the planner would read and sort all that is expired, anew for each batch.
select pg_catalog.set_config(s.name, s.setting, true) as setting
from (
  values
  ('row_security', 'off'),
  ('lock_timeout', '4s'),
  ('enable_seqscan', 'off'),
  ('enable_bitmapscan', 'off'),
  ('enable_sort', 'off'),
  ('enable_hashjoin', 'off'),
  ('enable_mergejoin', 'off')
) as s (name, setting)
