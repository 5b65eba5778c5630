-- Stands in for the extension wrappers, which this installation of PostgreSQL lacks: it has no handlers of foreign data.
select 1;
