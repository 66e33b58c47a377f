create extension if not exists pgcrypto with schema extensions;

create type public.job_role as enum ('admin', 'agent');

create table public.profiles (
    id uuid primary key references auth.users (id) on delete cascade,
    email text not null unique,
    role public.job_role not null default 'agent',
    created_at timestamptz not null default now()
);
alter table public.profiles enable row level security;
create policy "Own profile" on public.profiles for select to authenticated
    using ((select auth.uid()) = id);

create function public.is_admin() returns boolean
    language sql stable security definer set search_path = '' as $$
    select exists (select from public.profiles where id = (select auth.uid()) and role = 'admin')
$$;
revoke execute on function public.is_admin() from public, anon;
