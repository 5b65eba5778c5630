-- Stands in for the extension pgaudit, which this installation of PostgreSQL lacks: nothing is logged.
select 1;
