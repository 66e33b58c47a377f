-- Businesses: organisations with members, Meta apps and WhatsApp numbers. Each agent belongs to one.
--
-- All agents come into the default business. Functions, triggers, policies and grants are in sql/base.

-- The tables that sql/base/90_triggers.sql locks in this transaction, in the same order: a worker that waits for agents
-- has its job locked.
do $$
declare
    before   constant text := current_setting('lock_timeout');
    deadline constant timestamptz := clock_timestamp() + interval '30 s';
    asked    timestamptz;
begin
    loop
        asked := clock_timestamp();
        begin
            set local lock_timeout = '20ms';
            if has_table_privilege(to_regclass('auth.users'), 'update') then
                lock table auth.users in share row exclusive mode;
            end if;
            lock table public.users, public.agents, public.whatsapp_configuration in access exclusive mode;
            lock table provisioning.jobs in share row exclusive mode;
            lock table provisioning.deleted_agents, provisioning.trash in access exclusive mode;
            exit;
        exception when lock_not_available then
            -- `migrate` rolls back, and tries again itself.
            if clock_timestamp() > deadline or current_setting('provisioning.wait_for_locks', true) = 'off' then
                raise;
            end if;
            perform pg_sleep(50 * extract(epoch from clock_timestamp() - asked));
        end;
    end loop;
    perform set_config('lock_timeout', before, true);
end $$;

-- The settings go to the AI's prompt, and every member reads them: no secret may be among them.
create table public.businesses (
    id         uuid primary key default gen_random_uuid(),
    name       text not null
               constraint businesses_name_check check (length(btrim(name)) between 1 and 200),
    type       text
               constraint businesses_type_check check (length(btrim(type)) between 1 and 50),
    settings   jsonb not null default '{}'
               constraint businesses_settings_object_check check (jsonb_typeof(settings) = 'object')
               constraint businesses_settings_size_check check (octet_length(settings::text) <= 65536)
               constraint businesses_settings_keys_check
               check (jsonb_typeof(settings) <> 'object'
                      or settings - '{services,prices,hours,staff,personality}'::text[] = '{}')
               constraint businesses_settings_types_check
               check ((not settings ? 'services' or jsonb_typeof(settings -> 'services') = 'array')
                      and (not settings ? 'prices' or jsonb_typeof(settings -> 'prices') = 'object')
                      and (not settings ? 'hours' or jsonb_typeof(settings -> 'hours') = 'object')
                      and (not settings ? 'staff' or jsonb_typeof(settings -> 'staff') = 'array')
                      and (not settings ? 'personality' or jsonb_typeof(settings -> 'personality') = 'object'))
               constraint businesses_settings_secret_check
               check (not jsonb_path_exists(settings, '$.** ? (@.type() == "object").keyvalue().key
                          ? (@ like_regex "secret|token|passw|credential|(api|private)[_ -]?key" flag "i")')
                      and not jsonb_path_exists(settings, '$.** ? (@.type() == "string")
                          ? (@ like_regex "EAA[A-Za-z0-9]{20}|sk-[A-Za-z0-9_-]{20}|-----BEGIN|eyJ[A-Za-z0-9_-]+[.]eyJ")')),
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create table public.user_businesses (
    user_id     uuid not null references public.users (id) on delete cascade,
    business_id uuid not null references public.businesses (id) on delete cascade,
    role        text not null
                constraint user_businesses_role_check check (role in ('owner', 'admin', 'staff')),
    created_at  timestamptz not null default now(),
    primary key (user_id, business_id)
);
create index user_businesses_business_id_user_id_idx on public.user_businesses (business_id, user_id);

-- For a user, or for whoever has an address. It ends with its inviter's own rights.
create table public.business_invitations (
    id          uuid primary key default gen_random_uuid(),
    business_id uuid not null references public.businesses (id) on delete cascade,
    role        text not null
                constraint business_invitations_role_check check (role in ('owner', 'admin', 'staff')),
    user_id     uuid references public.users (id) on delete cascade,
    email       text
                constraint business_invitations_email_check
                check (email = lower(btrim(email) collate "C") and length(email) between 3 and 255),
    invited_by  uuid references public.users (id) on delete set null,
    created_at  timestamptz not null default now(),
    expires_at  timestamptz not null default now() + interval '7 days',
    constraint business_invitations_invited_check check (num_nonnulls(user_id, email) = 1),
    unique (business_id, user_id),
    unique (business_id, email)
);
create index business_invitations_user_id_idx on public.business_invitations (user_id);
create index business_invitations_email_idx on public.business_invitations (email);
create index business_invitations_invited_by_idx on public.business_invitations (invited_by);

-- An app without a business is the platform's: numbers of every business may belong to it.
create table public.meta_apps (
    id          uuid primary key default gen_random_uuid(),
    business_id uuid references public.businesses (id),
    app_id      text not null unique
                constraint meta_apps_app_id_check check (app_id ~ '^[0-9]{5,32}$'),
    name        text not null
                constraint meta_apps_name_check check (length(btrim(name)) between 1 and 200),
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);
create index meta_apps_business_id_idx on public.meta_apps (business_id);

insert into public.businesses (id, name) values ('00000000-0000-0000-0000-000000000001', 'Default business');

-- No constant as a default: the agents of a second business would come into the first one. sql/base has what fills the column.
alter table public.agents add column business_id uuid;
update public.agents set business_id = '00000000-0000-0000-0000-000000000001';
alter table public.agents
    alter business_id set not null,
    add constraint agents_business_id_fkey foreign key (business_id) references public.businesses (id),
    add constraint agents_id_business_id_key unique (id, business_id);
create index agents_business_id_idx on public.agents (business_id);

-- Of a deleted agent, so that it comes back to the same business.
alter table provisioning.deleted_agents add column business_id uuid;
alter table provisioning.trash add column business_id uuid;
update provisioning.deleted_agents set business_id = '00000000-0000-0000-0000-000000000001';
update provisioning.trash set business_id = '00000000-0000-0000-0000-000000000001';

-- The key to agents keeps a number in the business of its agent, and moves it with the agent.
create table public.whatsapp_numbers (
    id                  uuid primary key default gen_random_uuid(),
    business_id         uuid not null references public.businesses (id),
    meta_app_id         uuid not null references public.meta_apps (id),
    agent_id            bigint,
    phone_number_id     text not null unique
                        constraint whatsapp_numbers_phone_number_id_check check (phone_number_id ~ '^[0-9]{5,32}$'),
    business_account_id text not null
                        constraint whatsapp_numbers_business_account_id_check
                        check (business_account_id ~ '^[0-9]{5,32}$'),
    -- E.164 without the plus.
    display_number      text not null
                        constraint whatsapp_numbers_display_number_check check (display_number ~ '^[1-9][0-9]{5,14}$'),
    is_active           boolean not null default true,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now(),
    unique (id, business_id),
    constraint whatsapp_numbers_agent_id_fkey foreign key (agent_id, business_id)
        references public.agents (id, business_id) on update cascade on delete set null (agent_id)
);
create index whatsapp_numbers_business_id_idx on public.whatsapp_numbers (business_id);
create index whatsapp_numbers_meta_app_id_idx on public.whatsapp_numbers (meta_app_id);
create index whatsapp_numbers_agent_id_business_id_idx on public.whatsapp_numbers (agent_id, business_id);

-- Messages for numbers that nobody has: at most 1000 numbers, those that were seen last. The row '*' counts the others.
create table provisioning.unknown_numbers (
    phone_number_id text primary key,
    messages        bigint not null,
    first_seen_at   timestamptz not null default now(),
    last_seen_at    timestamptz not null default now()
);
create index unknown_numbers_last_seen_at_idx on provisioning.unknown_numbers (last_seen_at);

-- Whoever was an admin owns the default business, which gives him nothing new. Nobody else becomes a member.
do $$
declare
    agents constant bigint := (select count(*) from public.agents);
    owners bigint;
begin
    insert into public.user_businesses (user_id, business_id, role)
    select u.id, '00000000-0000-0000-0000-000000000001', 'owner' from public.users u where u.role = 'admin';
    get diagnostics owners = row_count;
    if agents > 0 then
        raise warning '% agents are in the default business now, and % admins are its owners', agents, owners;
    end if;
end $$;
