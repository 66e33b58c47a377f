//! What a template may contain, kind by kind: one list for all tests of it.

use crate::repair::Mends::{self, Always, Forced, Never};

/// What templates say of a table T of its own. `N` is its bare name.
pub struct Construct {
    /// Of T, behind the prefix.
    pub name: &'static str,
    /// More columns that T begins with, in the first file. There are id and b.
    pub base: &'static str,
    /// What the second file says.
    pub more: &'static str,
    /// What somebody drops, besides whole tables. A plain repair makes it again.
    pub drop: &'static str,
    /// What somebody changes.
    pub drift: &'static str,
    /// What `verify` says then.
    pub said: &'static str,
    /// And what a repair does about it.
    pub mends: Mends,
    /// The first release of PostgreSQL that knows it.
    pub since: i32,
}

const NEW: Construct = Construct {
    name: "",
    base: "",
    more: "",
    drop: "",
    drift: "",
    said: "",
    mends: Always,
    since: 15,
};

pub const CONSTRUCTS: &[Construct] = &[
    Construct {
        name: "storage",
        more: "alter table T alter b set storage external",
        drift: "alter table T alter b set storage extended",
        said: "missing column storage T.b",
        ..NEW
    },
    Construct {
        name: "compression",
        more: "alter table T alter b set compression pglz",
        drift: "alter table T alter b set compression default",
        said: "missing column compression T.b",
        ..NEW
    },
    Construct {
        name: "statistics",
        more: "alter table T alter b set statistics 500",
        drift: "alter table T alter b set statistics 10",
        said: "differs column statistics T.b",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "compression_extra",
        drift: "alter table T alter b set compression pglz",
        said: "extra column compression T.b",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "statistics_extra",
        drift: "alter table T alter b set statistics 10",
        said: "extra column statistics T.b",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "cluster_extra",
        more: "create index N_o on T (b)",
        drift: "alter table T cluster on N_o",
        said: "extra cluster T",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "index_statistics_extra",
        more: "create index N_s on T ((id + 1))",
        drift: "alter index public.N_s alter column 1 set statistics 300",
        said: "extra index statistics public.N_s, column 1",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "options",
        more: "alter table T alter b set (n_distinct = -0.5)",
        drift: "alter table T alter b reset (n_distinct)",
        said: "missing column options T.b",
        ..NEW
    },
    Construct {
        name: "options_extra",
        drift: "alter table T alter b set (n_distinct = -0.5)",
        said: "extra column options T.b",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "options_more",
        more: "alter table T alter b set (n_distinct = -0.5)",
        drift: "alter table T alter b set (n_distinct_inherited = -0.25)",
        said: "differs column options T.b",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "toast",
        more: "alter table T set (toast.autovacuum_enabled = false, fillfactor = 70)",
        drift: "alter table T reset (toast.autovacuum_enabled)",
        said: "differs table T",
        mends: Never,
        ..NEW
    },
    Construct {
        name: "key_parameters",
        more: "alter index T_pkey set (fillfactor = 80)",
        drift: "alter index T_pkey reset (fillfactor)",
        said: "missing index parameter fillfactor of T_pkey",
        ..NEW
    },
    Construct {
        name: "key_parameters_extra",
        drift: "alter index T_pkey set (fillfactor = 80)",
        said: "extra index parameter fillfactor of T_pkey",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "column_grants",
        more: "alter table T add column \"g, select\" int;
               grant select (\"g, select\"), update (\"g, select\", b) on T to service_role",
        drift: "alter table T drop column \"g, select\"",
        said: "missing column T.\"g, select\"",
        ..NEW
    },
    Construct {
        name: "column_grants_stay",
        more: "grant select on T to service_role; grant update (b) on T to service_role",
        drift: "grant delete on T to service_role",
        said: "differs grant T to service_role",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "owner_rights",
        more: "revoke truncate, delete on T from current_user",
        drift: "grant all on T to agent_provisioner",
        said: "missing owner rights T to agent_provisioner",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "owner_revoked",
        drift: "revoke insert on T from agent_provisioner",
        said: "extra owner rights T to agent_provisioner",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "clustered",
        more: "alter table T cluster on N_pkey",
        drift: "alter table T set without cluster",
        said: "missing cluster T",
        ..NEW
    },
    Construct {
        name: "comments",
        more: "comment on table T is 'a table''s'; comment on column T.b is 'Markdown'",
        drift: "comment on column T.b is null; comment on table T is 'other'",
        said: "missing comment column T.b",
        ..NEW
    },
    Construct {
        name: "comment_changed",
        more: "comment on constraint N_pkey on T is 'a key'",
        drift: "comment on constraint N_pkey on T is 'another'",
        said: "differs comment constraint N_pkey on T",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "replica",
        more: "alter table T replica identity full",
        drift: "alter table T replica identity default",
        said: "missing replica identity T",
        ..NEW
    },
    Construct {
        name: "replica_index",
        more: "alter table T replica identity using index N_pkey",
        drift: "alter table T replica identity nothing",
        said: "differs replica identity T",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "replica_index_gone",
        more: "create unique index N_r on T (id); alter table T replica identity using index N_r",
        drop: "drop index T_r",
        drift: "alter index T_r set (fillfactor = 51)",
        said: "differs index T_r",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "identity",
        more: "alter table T add n bigint generated always as identity (start with 1000 increment by 10)",
        drift: "alter table T alter n set increment by -3 set maxvalue 2000",
        said: "differs identity T_n_seq",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "identity_name",
        more: "alter table T add n bigint generated by default as identity;
             comment on sequence T_n_seq is 'numbers'; grant usage on sequence T_n_seq to service_role",
        drift: "alter sequence T_n_seq rename to \"N Numbers\"",
        said: "differs sequence name public.\"N Numbers\"",
        ..NEW
    },
    Construct {
        name: "triggers",
        more: "alter table T add updated_at timestamptz;
             create trigger on_always before update on T for each row execute function provisioning.touch_updated_at();
             alter table T enable always trigger on_always;
             create trigger off before update on T for each row execute function provisioning.touch_updated_at();
             alter table T disable trigger off;
             comment on trigger off on T is 'not yet'",
        drop: "drop trigger off on T; drop trigger on_always on T",
        drift: "alter table T enable trigger on_always",
        said: "differs trigger on_always on T",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "policy_comment",
        more: "create policy told on T using (id > 0); comment on policy told on T is 'fewer'",
        drop: "drop policy told on T",
        drift: "alter policy told on T using (false)",
        said: "differs policy told on T",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "trigger_comment",
        more: "alter table T add updated_at timestamptz;
             create trigger told before update on T for each row execute function provisioning.touch_updated_at();
             comment on trigger told on T is 'when'",
        drop: "drop trigger told on T",
        drift: "create or replace trigger told before insert on T for each row execute function provisioning.touch_updated_at()",
        said: "differs trigger told on T",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "trigger_gone",
        base: "changed_at timestamptz, updated_at timestamptz",
        more: "create trigger touch before update of b on T for each row when (new.b <> old.b)
                   execute function provisioning.touch_updated_at();
             alter table T enable replica trigger touch",
        drift: "drop trigger touch on T",
        said: "missing trigger touch on T",
        ..NEW
    },
    Construct {
        name: "rule_more",
        drift: "create rule swallow as on insert to T do instead nothing",
        said: "extra rule swallow on T",
        mends: Never,
        ..NEW
    },
    Construct {
        name: "parted",
        more: "create table T_p (id int, b text, primary key (id)) partition by range (id);
             create table T_p1 partition of T_p for values from (0) to (100);
             create index on T_p (b); create index on T_p using brin (b); insert into T_p values (1, 'x'), (99, null);
             alter table T_p enable row level security; alter table T_p1 enable row level security",
        drop: "drop table T_p1; drop index T_p_b_idx, T_p_b_idx1",
        drift: "alter table T_p detach partition T_p1",
        said: "missing parent T_p of T_p1",
        ..NEW
    },
    Construct {
        name: "listed",
        more: "create table T_p (id int, b text not null, check (b <> '')) partition by list (b);
             create table T_p1 partition of T_p (primary key (id)) for values in ('a', 'b') with (fillfactor = 60);
             create table T_p2 partition of T_p default;
             insert into T_p values (1, 'a'); insert into T_p values (2, 'c');
             create trigger touch before update on T_p for each row execute function provisioning.touch_updated_at();
             create trigger often before update on T_p for each row execute function provisioning.touch_updated_at();
             alter table T_p1 disable trigger touch;
             alter table T_p enable row level security; alter table T_p1 enable row level security;
             alter table T_p2 enable row level security",
        drop: "drop table T_p2; alter table T_p1 drop constraint N_p1_pkey; alter table T_p1 enable trigger touch",
        drift: "alter table T_p2 enable always trigger often",
        said: "extra partition trigger often on T_p2",
        mends: Forced,
        ..NEW
    },
    Construct {
        name: "hashed",
        more: "create table T_p (id int, n int) partition by hash (id);
             create table T_p0 partition of T_p for values with (modulus 2, remainder 0);
             create table T_p1 partition of T_p for values with (modulus 2, remainder 1) partition by range (n);
             create table T_p1a partition of T_p1 for values from (minvalue) to (maxvalue);
             create unique index N_p_key on T_p (id, n); insert into T_p values (1, 1); insert into T_p values (2, null); insert into T_p values (3, 3);
             alter table T_p enable row level security; alter table T_p0 enable row level security;
             alter table T_p1 enable row level security; alter table T_p1a enable row level security",
        drop: "drop index public.N_p_key; drop table T_p1",
        ..NEW
    },
    Construct {
        name: "inherits",
        more: "create table T_c (c int) inherits (T); insert into T_c values (7, 'seven', 7); alter table T_c enable row level security",
        drift: "alter table T_c no inherit T",
        said: "missing parent T of T_c",
        ..NEW
    },
    Construct {
        name: "heir",
        more: "select provisioning.publish('T'); create table T_c (c int) inherits (T); alter table T_c enable row level security",
        drop: "alter publication supabase_realtime drop table only T",
        ..NEW
    },
    Construct {
        name: "child",
        drift: "create table public.stray () inherits (T)",
        said: "extra child public.stray of T",
        mends: Never,
        ..NEW
    },
    Construct {
        name: "self_key",
        more: "alter table T add boss int references T (id)",
        drop: "alter table T drop constraint N_boss_fkey",
        drift: "alter table T disable trigger all",
        said: "extra constraint triggers N_boss_fkey on T, on T",
        mends: Never,
        ..NEW
    },
    Construct {
        name: "not_valid",
        more: "alter table T add constraint positive check (id > 0) not valid",
        drop: "alter table T drop constraint positive",
        drift: "alter table T validate constraint positive",
        said: "differs constraint positive on T",
        mends: Never,
        ..NEW
    },
    Construct {
        name: "type_owner",
        more: "create type T_e as enum ('x', 'y'); comment on type T_e is 'letters'; alter table T add e T_e default 'x'",
        drop: "alter table T alter e drop default",
        drift: "alter type T_e owner to postgres",
        said: "differs owner type T_e",
        mends: Never,
        ..NEW
    },
    Construct {
        name: "unlogged",
        base: "e int",
        more: "alter table T set unlogged; alter table T add d int generated always as (e + 1) stored;
             alter table T add n bigserial",
        drop: "alter table T drop n",
        drift: "alter table T set logged",
        said: "differs table T",
        mends: Never,
        ..NEW
    },
    Construct {
        name: "serials",
        more: "alter table T add n bigserial, add s smallserial; alter sequence T_n_seq increment by 5 cache 3 cycle;
             grant usage on sequence T_n_seq to service_role",
        drop: "alter table T alter n drop default; revoke all on sequence T_n_seq from service_role",
        drift: "alter sequence T_n_seq rename to N_numbers",
        said: "differs sequence name T_numbers",
        ..NEW
    },
    Construct {
        name: "generated_early",
        base: "g text generated always as (upper(coalesce(later, b))) stored, later text",
        ..NEW
    },
    Construct {
        name: "excluded",
        base: "during tstzrange",
        more: "alter table T add constraint N_once exclude using gist (during with &&) where (during is not null);
             alter table T add constraint N_alone exclude (id with =) include (b) deferrable initially deferred",
        drop: "alter table T drop constraint N_once; alter table T drop constraint N_alone",
        ..NEW
    },
    Construct {
        name: "deferred",
        more: "alter table T add u int unique deferrable initially deferred, add up int references T (id)
                   on update cascade on delete set null deferrable;
             create constraint trigger later after insert on T deferrable initially deferred
                   for each row execute function provisioning.touch_updated_at()",
        drop: "alter table T drop constraint N_u_key; alter table T drop constraint N_up_fkey; drop trigger later on T",
        ..NEW
    },
    Construct {
        name: "circle",
        more: "create table T_other (id int primary key, t int references T (id));
             alter table T add other int references T_other (id);
             alter table T_other enable row level security",
        drop: "alter table T_other drop constraint N_other_t_fkey; alter table T drop constraint N_other_fkey",
        ..NEW
    },
    Construct {
        name: "key_by_index",
        more: "create unique index N_idb on T (id, b);
             create table T_by (id int, b text, foreign key (id, b) references T (id, b) match full on delete set null);
             alter table T_by enable row level security",
        drop: "drop index public.N_idb cascade",
        ..NEW
    },
    Construct {
        name: "set_columns",
        more: "create table T_sets (id int, n int, primary key (id, n));
             alter table T add sid int default 7, add sn int,
                 add constraint sets foreign key (sid, sn) references T_sets on delete set default (sn) on update restrict;
             alter table T_sets enable row level security",
        drop: "alter table T drop constraint sets; alter table T alter sid drop default",
        ..NEW
    },
    Construct {
        name: "column_rights",
        more: "grant select (b), update (b) on T to authenticated; grant insert on T to service_role with grant option;
             create type T_r as enum ('x'); revoke usage on type T_r from public; grant usage on type T_r to authenticated",
        drop: "revoke all on T from authenticated; revoke all on T from service_role; revoke all on type T_r from authenticated",
        ..NEW
    },
    Construct {
        name: "policies",
        more: "create policy owner on T to authenticated, service_role
                   using ((select provisioning.owned_agent({agent_id})) is not null) with check (b <> '{agent_id}');
             create policy narrow on T as restrictive for select using (id > 0);
             create policy insert on T for insert with check (true);
             comment on policy narrow on T is 'fewer';
             alter table T force row level security",
        drop: "drop policy owner on T; drop policy narrow on T; drop policy insert on T",
        ..NEW
    },
    Construct {
        name: "indexes",
        base: "n int default 3, j jsonb, a text[]",
        more: "create index N_partial on T (b) where n > 3 and b is not null;
             create index N_words on T (lower(b), (n + 1) desc nulls last);
             alter index T_words alter column 2 set statistics 300;
             create unique index N_with on T (id) include (b) with (fillfactor = 55);
             create index N_like on T (b text_pattern_ops, b collate \"C\" desc);
             create index N_json on T using gin (j jsonb_path_ops) with (fastupdate = off);
             create index N_array on T using gin (a);
             create index N_hash on T using hash (b);
             create index N_brin on T using brin (id) with (pages_per_range = 4);
             create unique index N_nulls on T (n, id) nulls not distinct;
             create index on T (b); create index on T (b);
             alter index public.N_b_idx1 rename to N_second;
             comment on index T_partial is 'in part'",
        drop: "drop index T_partial, T_words, T_with, T_like, T_json, T_array, T_hash, T_brin, T_nulls, T_b_idx, T_second",
        ..NEW
    },
    Construct {
        name: "collated",
        more: "alter table T add c text collate \"C\" default 'x' check (c > 'a' collate \"POSIX\")",
        drop: "alter table T drop constraint N_c_check; alter table T alter c drop default",
        ..NEW
    },
    Construct {
        name: "Quoted Name",
        more: "alter table T add \"a B\"\"c\" int default 1 check (\"a B\"\"c\" > 0), add \"select\" text;
             create index \"N i.x\" on T (\"select\"); create policy \"P 1\" on T using (\"select\" is null)",
        drop: "drop index public.\"N i.x\"; drop policy \"P 1\" on T; alter table T drop constraint \"N_a B\"\"c_check\"",
        ..NEW
    },
    Construct {
        name: "row_type",
        more: "create table T_rt (id int primary key, whole T);
             alter table T_rt enable row level security",
        ..NEW
    },
    Construct {
        name: "liked",
        base: "n int not null default 4 check (n > 0), g int generated always as (n * 2) stored",
        more: "create index on T (n); comment on column T.n is 'copied';
             create table T_like (like T including all, more int);
             alter table T_like enable row level security",
        drop: "alter table T_like drop constraint N_n_check; drop index T_like_n_idx",
        ..NEW
    },
    Construct {
        name: "like_dropped",
        more: "create table T_model (a int default 7 check (a > 0)); alter table T_model enable row level security;
             create table T_l (like T_model including all); alter table T_l enable row level security;
             insert into T_l values (9); drop table T_model",
        drop: "drop table T_l",
        ..NEW
    },
    Construct {
        name: "like_before",
        more: "create table T_l (like T including all); alter table T_l enable row level security;
             alter table T add late int unique check (late > 0);
             create index on T_l using brin (b); create index on T (b)",
        drop: "drop table T_l",
        ..NEW
    },
    Construct {
        name: "likeness",
        more: "comment on column T.b is 'copied'; create table T_l (like T including all);
             alter table T_l enable row level security",
        drop: "comment on column T.b is null; drop table T_l",
        ..NEW
    },
    Construct {
        name: "selected",
        more: "create table T_as as select g as n, 'row ' || g as t from generate_series(1, 3) g;
             alter table T_as enable row level security",
        ..NEW
    },
    Construct {
        name: "defaults",
        // Of rows that were there, these would differ.
        more: "delete from T; alter table T add d1 timestamptz default now(), add d2 uuid default gen_random_uuid(), add d3 date default current_date,
                 add d4 text default 'it''s', add d5 text[] default '{a,b}', add d6 jsonb default '{\"a\": {agent_id}}',
                 add d7 interval default '1 day', add d8 numeric(10, 2) default -0.5, add d9 boolean default true,
                 add d10 bytea default '\\x00ff', add d11 int4range default '[1,5)', add d12 text default current_user,
                 add d13 bigint default {agent_id} check (d13 = {agent_id}), add d14 char(3) default 'ab'",
        drop: "alter table T alter d1 drop default, alter d2 drop default, alter d4 drop default, alter d5 drop default,
                 alter d6 drop default, alter d8 drop default, alter d10 drop default, alter d13 drop default, alter d14 drop default;
             alter table T drop constraint N_d13_check",
        ..NEW
    },
    Construct {
        name: "checks",
        base: "kind text, n int",
        more: "alter table T add check (kind in ('a', 'b') or kind is null), add constraint N_between check (n between 1 and 9),
                 add constraint N_like check (kind like 'a%' is not false) no inherit, add check (num_nonnulls(kind, n) < 3)",
        drop: "alter table T drop constraint N_kind_check; alter table T drop constraint N_between; alter table T drop constraint N_like;
             alter table T drop constraint N_check",
        ..NEW
    },
    Construct {
        name: "key_of_index",
        base: "n int",
        more: "create unique index N_n on T (n) include (b) with (fillfactor = 75); alter table T add constraint N_n_key unique using index N_n;
             alter table T drop constraint N_pkey; create unique index N_new on T (id);
             alter table T add constraint N_primary primary key using index N_new",
        drop: "alter table T drop constraint N_n_key; alter table T drop constraint N_primary",
        ..NEW
    },
    Construct {
        name: "a_name_so_long_that_its_key_just_fit",
        more: "alter table T add n int",
        ..NEW
    },
    Construct {
        name: "same_name",
        more: "create type T_s as enum ('x'); create index N_s on T (b); alter table T add s T_s default 'x'",
        drop: "drop index T_s",
        ..NEW
    },
    Construct {
        name: "changed",
        base: "old_name int default 5, gone text default 'x', wide smallint default 3, kind text default 'a'",
        more: "alter table T rename old_name to new_name; alter table T drop gone; alter table T alter wide type bigint using wide * 2;
             create type T_k as enum ('a'); alter type T_k add value 'b';
             alter table T alter kind drop default, alter kind type T_k using kind::T_k;
             alter table T alter kind set default 'a'; alter table T add later text not null default 'l';
             alter table T rename constraint N_pkey to N_key; alter type T_k rename to N_kind;
             create table T_tmp (id serial primary key, b text default 'x'); insert into T_tmp (b) values ('one'), ('two');
             alter table T_tmp enable row level security; alter table T_tmp rename to N_new;
             create table T_away (id int); drop table T_away; create table T_away (id bigint);
             alter table T_away enable row level security",
        drop: "alter table T alter new_name drop default; alter table T drop constraint N_key",
        ..NEW
    },
    Construct {
        name: "former_child",
        base: "n int default 1, wide int default 2",
        more: "create table T_c () inherits (T); insert into T_c (id) values (9);
             alter table T alter n set not null, alter wide type bigint; drop table T_c",
        ..NEW
    },
    Construct {
        name: "realtime",
        more: "select provisioning.publish('T')",
        drop: "alter publication supabase_realtime drop table T",
        ..NEW
    },
    Construct {
        name: "open",
        more: "\n-- provisioner: public {prefix}_open\nalter table T disable row level security; grant select on T to anon",
        drop: "revoke all on T from anon",
        ..NEW
    },
    Construct {
        name: "wide",
        more: "do $$ begin for i in 1..200 loop execute format('alter table T add c%s int default %s', i, i); end loop; end $$",
        drop: "alter table T alter c7 drop default",
        ..NEW
    },
    Construct {
        name: "dot.name",
        more: "alter table T add \"a.b\" int references T (id); create index on T (\"a.b\")",
        drop: "alter table T drop constraint \"N_a.b_fkey\"; alter index public.\"N_a.b_idx\" rename to \"N_other\"",
        ..NEW
    },
    Construct {
        name: "letters",
        more: "alter table T add имя text unique check (имя <> 'ж'), add größe int references T (id); create index on T (größe)",
        drop: "alter table T drop constraint N_имя_key; alter table T drop constraint N_имя_check; drop index T_größe_idx",
        ..NEW
    },
    Construct {
        name: "rows",
        more: "update T set b = 'second' where id = 2; delete from T where id = 3; insert into T select id + 10, b from T",
        ..NEW
    },
    // With prefix `session` this is a word of SQL.
    Construct {
        name: "user",
        more: "alter table T add boss int references T (id); create index on T (b); create policy own on T using (boss = 1);
             comment on table T is 'users'; create trigger touch before insert on T for each row
                   execute function provisioning.touch_updated_at(); alter table T disable trigger touch",
        drop: "alter table T drop constraint N_boss_fkey; drop index T_b_idx; drop policy own on T; drop trigger touch on T",
        ..NEW
    },
    Construct {
        name: "keyed",
        more: "create table T_k (id int, b text, agent_id bigint not null default {agent_id} check (agent_id = {agent_id}));
             insert into T_k (id, b) values (1, 'first'), (2, null); alter table T_k enable row level security",
        drop: "alter table T_k drop constraint N_k_agent_id_check; alter table T_k drop constraint N_k_agent_id_fkey",
        ..NEW
    },
    Construct {
        name: "virtual",
        base: "n int default 2",
        more: "alter table T add v int generated always as (n + 1) virtual",
        since: 18,
        ..NEW
    },
    Construct {
        name: "not_enforced",
        // Of rows that were there, the last column would differ.
        more: "delete from T; alter table T add boss int, add constraint kept check (id > 5) not enforced,
                 add constraint boss foreign key (boss) references T (id) not enforced,
                 add constraint there not null b not valid, add u uuid default uuidv7()",
        drop: "alter table T drop constraint kept; alter table T drop constraint boss; alter table T alter u drop default",
        since: 18,
        ..NEW
    },
];
