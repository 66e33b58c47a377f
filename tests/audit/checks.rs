//! What cannot work, or is a trap.

use super::project::{CLEAN, Project, Report};
use crate::support::{ADMIN, have_plpgsql_check};

/// The clean project with one more file.
async fn with(sql: &str) -> Report {
    let mut files = CLEAN.to_vec();
    files.push(("0003_planted.sql", sql));
    let report = Project::new(&files).audit(None).await;
    assert_eq!(report.order().len(), 3, "{:#}", report.0);
    report
}

#[tokio::test]
async fn each_trap_gives_one_finding() {
    for (sql, kind, object) in [
        (
            "drop index public.orders_owner_idx",
            "unindexed_foreign_key",
            "orders_owner_fkey on public.orders",
        ),
        (
            "create table public.open (id int primary key)",
            "table_without_row_security",
            "public.open",
        ),
        (
            "create table public.shut (id int primary key); alter table public.shut enable row level security",
            "row_security_without_policy",
            "public.shut",
        ),
        (
            "create policy all_of_it on public.orders for delete to anon using (1 = 1)",
            "policy_always_true",
            "all_of_it on public.orders",
        ),
        (
            "create policy all_of_it on public.orders for delete to anon using (auth.role() = 'x' or true)",
            "policy_always_true",
            "all_of_it on public.orders",
        ),
        (
            "create policy all_of_it on public.orders for delete to anon using (id = id)",
            "policy_always_true",
            "all_of_it on public.orders",
        ),
        // As of a form on a website.
        (
            "create table public.contact (id int primary key, msg text); \
             alter table public.contact enable row level security; \
             create policy anyone on public.contact for insert to anon, authenticated with check (true)",
            "policy_always_true",
            "anyone on public.contact",
        ),
        (
            "create policy nothing on public.orders for select to anon using (1 = 2)",
            "policy_never_true",
            "nothing on public.orders",
        ),
        (
            "create policy nothing on public.orders for select to anon using (owner = null)",
            "policy_never_true",
            "nothing on public.orders",
        ),
        (
            "set check_function_bodies = off; \
             create function public.broken() returns bigint language sql as 'select count(*) from public.gone'",
            "broken_function",
            "public.broken()",
        ),
    ] {
        with(sql).await.is(&[(kind, object)]);
    }
}

#[tokio::test]
async fn what_only_looks_like_a_trap_is_none() {
    for sql in [
        // A table that is public to readers, by intent.
        "create policy everybody on public.orders for select to anon using (true)",
        "create policy service on public.orders for all to service_role using (true)",
        // The column may be null, and so is in doubt.
        "create policy own on public.orders for delete to anon using (note = note)",
        "create policy own on public.orders for delete to anon using (note = 'true' or (auth.role() = 'x' and true))",
        // Nobody from outside may use it.
        "create table public.inner_table (id int primary key); revoke all on public.inner_table from anon, authenticated",
        "create schema app; create table app.t (id int primary key)",
        // An index that begins with the column serves.
        "drop index public.orders_owner_idx; create index on public.orders (owner, id)",
    ] {
        with(sql).await.is(&[]);
    }
}

#[tokio::test]
async fn a_role_column_that_policies_read_and_no_table_has_is_told() {
    let function = "create function public.is_boss() returns boolean language plpgsql stable security definer as $$
        begin
            return exists (select 1 from accounts where id = auth.uid() and role = 'boss');
        end $$;
        create policy bosses on public.orders for select to authenticated using ((select public.is_boss()));";
    let table = "create table public.accounts (id uuid primary key); \
                 alter table public.accounts enable row level security; \
                 create policy own on public.accounts for select using (id = (select auth.uid()));";
    let report = with(&format!("{table} {function}")).await;
    report.is(&[("missing_role_column", "public.is_boss()")]);
    let fixed = table.replace("uuid primary key", "uuid primary key, role text");
    with(&format!("{fixed} {function}")).await.is(&[]);
}

#[tokio::test]
async fn a_body_that_names_what_is_not_there_is_told_or_not_looked_at() {
    let db = Project::empty_database().await;
    if !have_plpgsql_check(&db.admin().await).await {
        return;
    }
    let report = with(
        "create function public.bad(orders) returns bigint language plpgsql as $$
         begin return (select count(*) from public.gone); end $$;
         create function public.bad_trigger() returns trigger language plpgsql as $$
         begin new.gone := 1; return new; end $$;
         create trigger bad before insert on public.orders for each row execute function public.bad_trigger();",
    )
    .await;
    let unchecked = report.list("unchecked").iter();
    let lacks_check = unchecked.filter(|it| it.as_str().unwrap().contains("plpgsql_check")).count();
    if lacks_check == 1 {
        report.is(&[]);
    } else {
        report.is(&[
            ("broken_function", "public.bad(public.orders)"),
            ("broken_function", "public.bad_trigger()"),
        ]);
    }
}

#[tokio::test]
async fn traps_of_the_platform_and_of_this_program_are_not_the_project_s() {
    let db = crate::support::Database::new().await;
    let admin = db.connect(ADMIN).await;
    for (_, text) in CLEAN {
        let text = text.replace("with schema extensions", "");
        admin.batch_execute(&text).await.unwrap();
    }
    let files = CLEAN.map(|(name, text)| (name, text.replace("with schema extensions", "")));
    let files: Vec<(&str, &str)> =
        files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    Project::new(&files).audit(Some(&db)).await.is(&[]);
}
