create table public.returns (
  id uuid primary key default gen_random_uuid(),
  customer_id uuid not null default auth.uid() references auth.users on delete cascade,
  reason text not null
);
alter table public.returns enable row level security;
create policy "returns: own" on public.returns for select to authenticated
using (customer_id = (select auth.uid()));
alter table public.products add column weight_in_grams integer;
