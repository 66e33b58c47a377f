//! Two bases that define one table differently.

use super::project::{Project, Report};
use crate::support::ADMIN;

/// Users of one's own.
const OWN: &str = "create table if not exists public.users (
    id uuid primary key default gen_random_uuid(),
    email text unique not null,
    full_name text not null,
    password_hash text
);
alter table public.users enable row level security;
drop policy if exists own on public.users;
create policy own on public.users for select using (id is not null);
";
/// Those of the platform.
const PLATFORM: &str = "create table if not exists public.users (
    id uuid primary key references auth.users (id) on delete cascade,
    email text,
    role text not null default 'agent'
);
alter table public.users enable row level security;
drop policy if exists own on public.users;
create policy own on public.users for select using (id is not null);
";

async fn audit(deployed: &str, files: &[(&str, &str)]) -> Report {
    let db = Project::database(&[("deployed", deployed)]).await;
    Project::new(files).audit(Some(&db)).await
}

#[tokio::test]
async fn the_deployed_base_is_named_and_what_the_other_would_add() {
    let files = [("schema/0001_users.sql", OWN), ("migrations/0001_users.sql", PLATFORM)];
    // The order takes the migrations first, so what they make is what the database is compared with.
    let report = audit(PLATFORM, &files).await;
    report.is(&[("conflicting_base", "public.users")]);
    let (message, fix) =
        (report.text("conflicting_base", "message"), report.text("conflicting_base", "fix"));
    let (own, deployed) =
        (message.find("schema/0001").unwrap(), message.find("migrations/0001").unwrap());
    assert!(deployed < own, "{message}");
    assert!(fix.contains("add column full_name text") && !fix.contains("add column role"), "{fix}");
    assert!(report.text("conflicting_base", "file").contains("schema/0001"));

    let report = audit(OWN, &files).await;
    let message = report.text("conflicting_base", "message");
    let (own, other) =
        (message.find("schema/0001").unwrap(), message.find("migrations/0001").unwrap());
    assert!(own < other, "{message}");
}

#[tokio::test]
async fn a_base_that_fails_on_the_other_is_the_same_fault() {
    let own = OWN.replace("if not exists ", "");
    let platform = PLATFORM.replace("if not exists ", "");
    let files = [("a.sql", platform.as_str()), ("b.sql", own.as_str())];
    audit(PLATFORM, &files).await.is(&[("conflicting_base", "public.users")]);
}

const ORDERS: &str = "create table public.orders (
    id bigint primary key,
    user_id uuid not null references users (id)
);
create index on public.orders (user_id);
alter table public.orders enable row level security;
create policy own on public.orders for select to authenticated using (user_id = (select auth.uid()));
";

#[tokio::test]
async fn a_key_to_users_of_ones_own_is_told_where_policies_mean_logins() {
    let files = [("0001_users.sql", OWN), ("0002_orders.sql", ORDERS)];
    let report = Project::new(&files).audit(None).await;
    report.is(&[("foreign_key_to_wrong_users", "orders_user_id_fkey on public.orders")]);
    let fix = report.text("foreign_key_to_wrong_users", "fix");
    let db = Project::database(&files).await;
    db.connect(ADMIN).await.batch_execute(&fix).await.unwrap();
    assert!(fix.contains("REFERENCES auth.users(id)"), "{fix}");
    // The ids of users are those of logins.
    Project::new(&[("0001_users.sql", PLATFORM), ("0002_orders.sql", ORDERS)])
        .audit(None)
        .await
        .is(&[]);
}
