//! What a database linter finds in our schema and in 20 agents' tables: nothing.

use crate::support::Database;

/// Name, query, and something wrong that the query has to find.
const LINTS: [(&str, &str, &str); 10] = [
    (
        "foreign key without index",
        include_str!("lints/unindexed_foreign_keys.sql"),
        "create table public.bad (id int primary key, other int references public.bad)",
    ),
    (
        "function evaluated per row",
        include_str!("lints/auth_per_row.sql"),
        "create policy bad on public.users for update to authenticated using (id = auth.uid())",
    ),
    (
        "multiple permissive policies",
        include_str!("lints/multiple_permissive_policies.sql"),
        "create policy bad on public.users for select to authenticated using (false)",
    ),
    (
        "duplicate index",
        include_str!("lints/duplicate_index.sql"),
        "create index bad on public.users (role)",
    ),
    (
        "no row level security, or no policy",
        include_str!("lints/no_row_security.sql"),
        "create table provisioning.bad (id int primary key)",
    ),
    (
        "policy that is always true",
        include_str!("lints/always_true.sql"),
        "create policy bad on public.users using (true)",
    ),
    (
        "mutable search_path",
        include_str!("lints/mutable_search_path.sql"),
        "create function provisioning.bad() returns int language sql as 'select 1'",
    ),
    (
        "definer function in the API",
        include_str!("lints/exposed_definer.sql"),
        "create function public.bad() returns int language sql security definer as 'select 1'",
    ),
    (
        "no primary key",
        include_str!("lints/no_primary_key.sql"),
        "create table public.bad (id int)",
    ),
    (
        "secret for all to see",
        include_str!("lints/sensitive_column.sql"),
        "alter policy whatsapp_configuration_select on public.whatsapp_configuration
             using ((select auth.uid()) is not null)",
    ),
];

const SCHEMAS: &str = "array['public'::regnamespace, 'provisioning'::regnamespace]";

#[tokio::test]
async fn a_linter_finds_nothing_in_twenty_agents() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin
        .run("insert into public.agents (agent_prefix) select 'agt_' || n from generate_series(1, 20) n")
        .await;
    admin.settled().await;
    assert_eq!(admin.one::<i64>("select count(*) from provisioning.agents").await, 20);
    for (lint, query, wrong) in LINTS {
        let query = query.replace(":schemas", SCHEMAS);
        assert_eq!(admin.rows(&query).await, [""; 0], "{lint}");
        admin.run(&format!("begin; {wrong}")).await;
        assert!(!admin.rows(&query).await.is_empty(), "{lint} is overlooked");
        admin.run("rollback").await;
    }
}
