-- the condition of each policy moves to a function, which gets the columns that it mentions
create schema conditions;
grant usage on schema conditions to public;
do $$
declare policy record; number integer := 0; parameters text; arguments text; name text; part text; changed text;
begin
  for policy in select * from pg_policies loop
    changed := '';
    foreach part in array array['using', 'with check'] loop
      number := number + 1;
      declare condition text := case part when 'using' then policy.qual else policy.with_check end;
      begin
        continue when condition is null;
        select string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' order by attnum),
               string_agg(format('%I', attname), ', ' order by attnum)
        into parameters, arguments
        from pg_attribute
        where attrelid = format('%I.%I', policy.schemaname, policy.tablename)::regclass
          and attnum > 0 and not attisdropped and condition ~ ('\m' || attname || '\M');
        -- a function with the name of the table, so that the condition may qualify its columns
        execute format('create schema %I', 'condition_' || number);
        execute format('grant usage on schema %I to public', 'condition_' || number);
        execute format('create function %I.%I(%s) returns boolean language sql stable as %L',
                       'condition_' || number, policy.tablename, coalesce(parameters, ''), 'select ' || condition);
        changed := changed || format(' %s (%I.%I(%s))', part, 'condition_' || number, policy.tablename,
                                     coalesce(arguments, ''));
      end;
    end loop;
    execute format('alter policy %I on %I.%I %s', policy.policyname, policy.schemaname, policy.tablename, changed);
  end loop;
end
$$;
drop schema conditions;
