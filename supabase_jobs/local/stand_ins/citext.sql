-- Stands in for the extension citext, which this installation of PostgreSQL lacks.

do $$
begin
  if to_regtype('extensions.citext') is null then
    create domain extensions.citext as text; -- compares as text does
  end if;
end;
$$;
