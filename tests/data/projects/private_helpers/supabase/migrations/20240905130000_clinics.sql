create schema if not exists app;
create schema if not exists internal;
grant usage on schema app, internal to authenticated, service_role;

create domain app.email as text check (value ~ '^[^@ ]+@[^@ ]+$');
create type app.staff_role as enum ('doctor', 'nurse', 'reception');
create type app.staff_status as enum ('invited', 'active', 'suspended');

create table public.clinics (
  id integer generated always as identity primary key,
  name text not null,
  contact app.email
);

create table public.staff (
  id bigint generated always as identity primary key,
  clinic_id integer not null references public.clinics (id) on delete cascade,
  user_id uuid not null references auth.users (id) on delete cascade,
  role app.staff_role not null,
  status app.staff_status not null default 'invited',
  unique (clinic_id, user_id)
);

create table public.patients (
  id uuid primary key default gen_random_uuid(),
  clinic_id integer not null references public.clinics (id) on delete cascade,
  full_name text not null,
  born date,
  insurance_number char(10) unique check (insurance_number ~ '^[A-Z][0-9]{9}$')
);

create table public.visits (
  id bigint generated always as identity primary key,
  patient_id uuid not null references public.patients (id) on delete cascade,
  doctor_id bigint references public.staff (id),
  during tstzrange not null,
  notes text
);

-- one row per user and clinic, kept in the private schema and read by the helpers only
create function internal.role_in(clinic integer) returns app.staff_role
language sql stable security definer set search_path = '' as $$
  select s.role from public.staff s
  where s.clinic_id = clinic and s.user_id = (select auth.uid()) and s.status = 'active'
$$;

create function internal.clinics_of_caller() returns setof integer
language sql stable security definer set search_path = '' as $$
  select s.clinic_id from public.staff s where s.user_id = (select auth.uid()) and s.status = 'active'
$$;

create function internal.clinic_of(patient uuid) returns integer
language sql stable security definer set search_path = '' as $$ select p.clinic_id from public.patients p where p.id = patient $$;

revoke all on all functions in schema internal from public, anon;
grant execute on all functions in schema internal to authenticated;
