-- Stands in for the extension btree_gin, which this installation of PostgreSQL lacks: it has no operator classes.
select 1;
