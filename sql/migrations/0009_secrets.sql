-- Access tokens of WhatsApp numbers, app secrets and verify tokens of Meta apps: encrypted before they come here.
--
-- docs/tokens.md has the format. The functions are in sql/base/47_secrets.sql.

-- The tables that sql/base/90_triggers.sql locks in this transaction, in the same order: a foreign key locks two of them.
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
            lock table public.businesses, public.user_businesses, public.business_invitations, public.meta_apps,
                public.whatsapp_numbers in access exclusive mode;
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

-- A ciphertext is bound to its number or app and to the business of that. So the first foreign key keeps a number with a
-- token in its business, and the trigger guard_app every app: neither becomes unreadable unnoticed.
create table provisioning.secrets (
    id                 uuid primary key default gen_random_uuid(),
    kind               text not null
                       constraint secrets_kind_check check (kind in ('access_token', 'app_secret', 'verify_token')),
    whatsapp_number_id uuid,
    business_id        uuid,        -- of the number
    meta_app_id        uuid,
    -- Version 1, the key's id, nonce, 8 to 4096 encrypted bytes, tag. No text begins with that version.
    ciphertext         bytea not null
                       constraint secrets_ciphertext_check
                       check (octet_length(ciphertext) >= 45 and octet_length(ciphertext) <= 4133
                              and substr(ciphertext, 1, 1) = decode('01', 'hex')),
    key_id             text not null generated always as (encode(substr(ciphertext, 2, 8), 'hex')) stored,
    -- For people to tell secrets apart. None of a short one.
    last_four          text
                       constraint secrets_last_four_check check (last_four ~ '^[!-~]{4}$'),
    set_at             timestamptz not null default now(),
    set_by             text not null default session_user,
    constraint secrets_owner_check check (
        case kind when 'access_token' then num_nonnulls(whatsapp_number_id, business_id) = 2 and meta_app_id is null
                  else num_nulls(whatsapp_number_id, business_id) = 2 and meta_app_id is not null end),
    constraint secrets_whatsapp_number_id_fkey foreign key (whatsapp_number_id, business_id)
        references public.whatsapp_numbers (id, business_id) on delete cascade,
    constraint secrets_meta_app_id_fkey foreign key (meta_app_id) references public.meta_apps (id) on delete cascade,
    unique (whatsapp_number_id, business_id, kind),
    unique (meta_app_id, kind)
);
