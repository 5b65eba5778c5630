-- Set the sequences of a copy far from the ids of existing rows, so that generated rows have the same ids each time.
select setval(c.oid, least(s.seqmax - 1000, greatest(1000000, pg_sequence_last_value(c.oid))))
from pg_sequence as s
inner join pg_class as c on s.seqrelid = c.oid
where not s.seqcycle
  and s.seqincrement = 1
  and s.seqmax > 2000
  and has_sequence_privilege(c.oid, 'update')
