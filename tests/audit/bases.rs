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

/// Each base has its own projects, with an index and a policy on a column that the other one lacks.
const BASES: [(&str, &str); 2] = [
    (
        "001_own.sql",
        "create table if not exists public.users (id uuid primary key default gen_random_uuid(), email text unique not null);
         create table if not exists public.projects (
             id uuid primary key default gen_random_uuid(), user_id uuid references public.users (id), title text not null
         );
         create index if not exists projects_user_idx on public.projects (user_id);
         alter table public.users enable row level security; alter table public.projects enable row level security;
         create policy users_self on public.users for select using (id = auth.uid());
         create policy projects_own on public.projects for select using (user_id = auth.uid());",
    ),
    (
        "002_platform.sql",
        "create table if not exists public.profiles (id uuid primary key references auth.users (id), full_name text);
         create table if not exists public.projects (
             id uuid primary key default gen_random_uuid(), owner_id uuid not null references public.profiles (id),
             name text not null, status text default 'active'
         );
         create index if not exists projects_owner_idx on public.projects (owner_id);
         alter table public.profiles enable row level security; alter table public.projects enable row level security;
         create policy profiles_self on public.profiles for select using (id = auth.uid());
         create policy projects_owner on public.projects for select using (owner_id = auth.uid());",
    ),
];

#[tokio::test]
async fn a_base_that_fails_on_the_columns_of_the_other_is_the_conflict() {
    for (deployed, other) in [(1, 0), (0, 1)] {
        let db = Project::database(&BASES[deployed..=deployed]).await;
        let project = Project::new(&BASES);
        let fix = project.path().join("fix.out");
        let output = project.run(Some(&db), &["--fix", fix.to_str().unwrap()]).await;
        let report = Report::of(&output);
        // The other one has a fault of its own.
        let conflict = ("conflicting_base", "public.projects");
        let wrong_users =
            ("foreign_key_to_wrong_users", "projects_user_id_fkey on public.projects");
        report.is(&[conflict, wrong_users][..2 - deployed]);
        let message = report.text("conflicting_base", "message");
        let place = |file: usize| message.find(BASES[file].0).unwrap();
        assert!(place(deployed) < place(other), "{message}");
        assert!(report.text("conflicting_base", "file").ends_with(BASES[other].0));
        let fix = std::fs::read_to_string(fix).unwrap();
        let runs: Vec<&str> =
            fix.lines().filter(|line| !line.is_empty() && !line.starts_with("--")).collect();
        assert_eq!(runs, [""; 0], "{fix}");
    }
    // Without a database the first one holds.
    Project::new(&BASES).audit(None).await.is(&[
        ("conflicting_base", "public.projects"),
        ("foreign_key_to_wrong_users", "projects_user_id_fkey on public.projects"),
    ]);
}

#[tokio::test]
async fn what_only_the_losing_base_makes_is_told_with_the_conflict() {
    // Both run: without indexes and policies nothing fails.
    let tables = |sql: &str| {
        let (tables, _) = sql.split_once("create index").unwrap();
        let named = if sql.contains("profiles") { "profiles" } else { "users" };
        let policy = |table: &str| {
            format!(
                "alter table public.{table} enable row level security; drop policy if exists p on public.{table}; \
                 create policy p on public.{table} for select using (id is not null);"
            )
        };
        tables.to_owned() + &policy(named) + &policy("projects")
    };
    let (one, two) = (tables(BASES[0].1), tables(BASES[1].1));
    let files = [(BASES[0].0, one.as_str()), (BASES[1].0, two.as_str())];
    let db = Project::database(&files[1..]).await;
    let project = Project::new(&files);
    let fix = project.path().join("fix.out");
    let output = project.run(Some(&db), &["--fix", fix.to_str().unwrap()]).await;
    let found = Report::of(&output).found();
    assert!(!found.iter().any(|(kind, _)| kind == "missing_table"), "{found:?}");
    let fix = std::fs::read_to_string(fix).unwrap();
    assert!(fix.contains("-- create table public.users"), "{fix}");
    assert!(!fix.contains("\ncreate table public.users"), "{fix}");
}

const ORDERS: &str = "create table public.orders (
    id bigint primary key,
    user_id uuid not null references users (id)
);
create index on public.orders (user_id);
alter table public.orders enable row level security;
create policy own on public.orders for select to authenticated using (user_id = (select auth.uid()));
";

/// The deployed base has to wait for a file, and the other one has not.
#[tokio::test]
async fn a_deployed_base_that_waits_for_others_runs_before_the_other() {
    let rules = |name: &str| {
        format!(
            "alter table public.{name} enable row level security; \
             create policy p on public.{name} for select using (id > 0);"
        )
    };
    let teams = format!("create table public.teams (id int primary key); {}", rules("teams"));
    let deployed = format!(
        "create table public.rooms (id int generated always as identity primary key, \
         team int references public.teams (id)); create index on public.rooms (team); {}",
        rules("rooms")
    );
    let doors = format!(
        "create table public.doors (id int primary key, team int, room int references public.rooms (id)); \
         create index on public.doors (room); \
         create view public.ways with (security_invoker = true) as select d.id, r.team from public.doors d \
         join public.rooms r on r.id = d.room; {}",
        rules("doors")
    );
    let other = "create table public.rooms (id bigint primary key, size int);";
    let live = [("1", teams.as_str()), ("2", deployed.as_str()), ("3", doors.as_str())];
    let db = Project::database(&live).await;
    let files =
        [("a.sql", deployed.as_str()), ("b.sql", other), ("c.sql", &doors), ("d.sql", &teams)];
    Project::new(&files).audit(Some(&db)).await.is(&[("conflicting_base", "public.rooms")]);
}

/// The deployed definition of users is tied to logins, and the files make the other one.
#[tokio::test]
async fn a_key_to_users_that_are_tied_in_the_database_is_none_of_its_own() {
    let users = |rest: &str| {
        format!(
            "create table if not exists public.users (id uuid primary key {rest}); \
             alter table public.users enable row level security; \
             drop policy if exists p on public.users; \
             create policy p on public.users for select using (id = auth.uid());"
        )
    };
    let (custom, tied) =
        (users("default gen_random_uuid()"), users("references auth.users (id), name text"));
    let posts = "create table public.posts (id int primary key, author uuid references public.users (id)); \
                 create index on public.posts (author); alter table public.posts enable row level security; \
                 create policy p on public.posts for select using (author = auth.uid());";
    let files = [("a/1.sql", custom.as_str()), ("b/1.sql", tied.as_str()), ("b/2.sql", posts)];
    for (deployed, is_wrong) in [(&tied, false), (&custom, true)] {
        let db = Project::database(&[("1", deployed), ("2", posts)]).await;
        let found = Project::new(&files).audit(Some(&db)).await.found();
        let wrong = found.iter().any(|(kind, _)| kind == "foreign_key_to_wrong_users");
        assert_eq!((wrong, found.len()), (is_wrong, 1 + usize::from(is_wrong)), "{found:?}");
    }
}

#[tokio::test]
async fn a_key_to_users_of_ones_own_is_told_where_policies_mean_logins() {
    let files = [("0001_users.sql", OWN), ("0002_orders.sql", ORDERS)];
    let report = Project::new(&files).audit(None).await;
    report.is(&[("foreign_key_to_wrong_users", "orders_user_id_fkey on public.orders")]);
    let fix = report.text("foreign_key_to_wrong_users", "fix");
    let db = Project::database(&files).await;
    db.connect(ADMIN).await.batch_execute(&fix).await.unwrap();
    assert!(fix.contains("REFERENCES auth.users(id)"), "{fix}");
    // Where the database lacks the key, there is none to change.
    let db = Project::database(&files[..1]).await;
    let report = Project::new(&files).audit(Some(&db)).await;
    assert!(!report.text("foreign_key_to_wrong_users", "fix").contains("alter table"));
    // The ids of users are those of logins.
    Project::new(&[("0001_users.sql", PLATFORM), ("0002_orders.sql", ORDERS)])
        .audit(None)
        .await
        .is(&[]);
}
