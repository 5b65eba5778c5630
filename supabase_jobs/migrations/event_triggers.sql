-- The enabled event triggers: the statements that disable each of them, and that enable it as it is.
select
  format('alter event trigger %I disable', e.evtname) as disable,
  format(
    'alter event trigger %I enable %s',
    e.evtname,
    case e.evtenabled when 'A' then 'always' when 'R' then 'replica' else '' end
  ) as enable
from pg_event_trigger as e
where e.evtenabled <> 'D'
