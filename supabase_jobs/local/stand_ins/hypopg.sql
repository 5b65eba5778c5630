-- Stands in for the extension hypopg, which this installation of PostgreSQL lacks: it suggests nothing.
select 1;
