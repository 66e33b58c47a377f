create table public.orders (
    id bigserial primary key,
    owner uuid not null references public.profiles (id) on delete cascade,
    total numeric(10, 2) not null default 0 check (total >= 0),
    note text,
    doubled numeric generated always as (total * 2) stored
);
create index orders_owner_idx on public.orders (owner);
create index orders_note_idx on public.orders (note);
alter table public.orders enable row level security;
create policy "Own orders" on public.orders for all to authenticated
    using ((select auth.uid()) = owner) with check ((select auth.uid()) = owner);
create policy "Admins see orders" on public.orders for select to authenticated
    using ((select public.is_admin()));
comment on table public.orders is 'What was sold.';
revoke all on public.orders from anon;

create view public.totals with (security_invoker = true) as
    select owner, sum(total) as total from public.orders group by owner;

create function public.touch() returns trigger language plpgsql set search_path = '' as $$
begin
    new.note = coalesce(new.note, '');
    return new;
end $$;
create trigger touch before update on public.orders
    for each row execute function public.touch();

alter publication supabase_realtime add table public.orders;
