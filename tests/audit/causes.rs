//! One cause is one finding, and what comes of it is its evidence, or not told.

use super::project::{CLEAN, Project, Report};
use crate::support::ADMIN;

const TASKS: (&str, &str) = (
    "0003_tasks.sql",
    "create table public.tasks (id int primary key, owner uuid references public.profiles (id), title text);
     alter table public.tasks enable row level security;
     create table public.shut (id int primary key);
     alter table public.shut enable row level security;
     create table public.open (id int primary key);
     create function public.count_toys() returns bigint language plpgsql as $$
     begin return (select count(*) from public.toys); end $$;",
);
/// The server refuses the statements about `toys` and `shut`, and the last.
const BROKEN: (&str, &str) = (
    "0004_broken.sql",
    "create policy own on public.tasks for select to authenticated using ((select auth.uid()) = owner);
     create index on public.tasks (owner);
     alter table public.tasks add constraint tasks_title_key unique (title);
     alter table public.open enable row level security;
     create policy nobody on public.open for select to authenticated using (id > 1);
     create policy gone on public.shut for select to authenticated using (public.gone(id));
     create table public.toys (id int primary key, kind public.no_such_type);
     select gone;",
);
const WAITS: (&str, &str) = ("0005_waits.sql", "create index toys_kind_idx on public.toys (kind);");
const DOCUMENT: &str = "# Tables\n\n## tasks\n\n| Column | Type | Constraints |\n|---|---|---|\n\
    | id | integer | PRIMARY KEY |\n| owner | uuid | REFERENCES profiles(id) |\n| title | text | UNIQUE |\n\n\
    ## toys\n\n| Column | Type |\n|---|---|\n| `id` | integer |\n";
const CODE: &str = "supabase.from('toys').select('id')\n\
    supabase.from('tasks').upsert({ id: 1, title: 'a' }, { onConflict: 'title' })\n";

fn project(files: &[(&str, &str)], code: &str, document: &str) -> (Project, Vec<String>) {
    let project = Project::new(files);
    project.write("src/a.ts", code);
    project.write("tables.md", document);
    let path = |name: &str| project.path().join(name).to_str().unwrap().to_owned();
    let options = ["--code".to_owned(), path("src"), "--docs".to_owned(), path("tables.md")];
    (project, options.to_vec())
}

#[tokio::test]
async fn a_broken_file_is_one_finding() {
    let files = [CLEAN[0], CLEAN[1], TASKS, BROKEN, WAITS];
    let (project, options) = project(&files, CODE, DOCUMENT);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let report = Report::of(&project.run(None, &options).await);
    report.is(&[("file_never_ran", "0004_broken.sql")]);
    let evidence = report.text("file_never_ran", "evidence");
    for said in ["0005_waits.sql:1", "no_such_type", "column \"gone\""] {
        assert!(evidence.contains(said), "{said}: {evidence}");
    }
    // What is not looked at is named.
    let unchecked = report.0["unchecked"].to_string();
    for object in ["public.toys", "public.shut", "public.open", "tasks_owner_fkey"] {
        assert!(unchecked.contains(object), "{object}: {unchecked}");
    }
    // A database where somebody has run what runs.
    let db = Project::database(&[CLEAN[0], CLEAN[1], TASKS]).await;
    let runs = BROKEN.1.split("create policy gone").next().unwrap();
    db.connect(ADMIN).await.batch_execute(runs).await.unwrap();
    let report = project.audit(Some(&db)).await;
    report.is(&[("file_never_ran", "0004_broken.sql")]);
}

/// Two files that cannot run without each other: neither is the other's cause.
#[tokio::test]
async fn files_that_wait_for_each_other_are_both_told() {
    let files = [
        (
            "1.sql",
            "create table public.a (id int primary key); create view public.x as select * from public.b;",
        ),
        (
            "2.sql",
            "create table public.b (id int primary key); create view public.y as select * from public.a;",
        ),
    ];
    let report = Project::new(&files).audit(None).await;
    report.is(&[("file_never_ran", "1.sql"), ("file_never_ran", "2.sql")]);
}

/// What is wrong in any case is told beside a broken file.
#[tokio::test]
async fn a_broken_file_hides_nothing_else() {
    let open = ("0003_open.sql", "create table public.open (id int primary key);");
    let broken = ("0004_broken.sql", "create index on public.orders (total); select gone;");
    let files = [CLEAN[0], CLEAN[1], open, broken];
    let (project, options) = project(&files, "supabase.from('games').select()\n", "");
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Report::of(&project.run(None, &options).await).is(&[
        ("file_never_ran", "0004_broken.sql"),
        ("table_without_row_security", "public.open"),
        ("unknown_table", "public.games"),
    ]);
}

/// The server cannot even read it, so it waits for nobody.
#[tokio::test]
async fn a_file_that_is_no_sql_is_told_by_itself() {
    let files = [
        CLEAN[0],
        CLEAN[1],
        ("0003_broken.sql", "select gone from public.orders;"),
        ("0004_open.sql", "select 1; /* it does not end"),
    ];
    Project::new(&files)
        .audit(None)
        .await
        .is(&[("file_never_ran", "0003_broken.sql"), ("file_never_ran", "0004_open.sql")]);
}

/// A statement that does not run ends only what it is about.
#[tokio::test]
async fn a_broken_file_hides_no_fault_of_the_tables_that_it_touches() {
    let open = (
        "0003_open.sql",
        "create table public.open (id int primary key); drop index public.orders_owner_idx;",
    );
    let broken = (
        "0004_broken.sql",
        "alter table public.open add column x public.gone; \
                   alter table public.orders add constraint c check (gone > 1);",
    );
    let document = "## orders\n\n| Column | Type |\n|---|---|\n| id | bigint |\n| owner | text |\n\
                    | total | numeric(10,2) |\n| note | text |\n| doubled | numeric |\n";
    let (project, options) = project(&[CLEAN[0], CLEAN[1], open, broken], "", document);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Report::of(&project.run(None, &options).await).is(&[
        ("document_type", "public.orders.owner"),
        ("file_never_ran", "0004_broken.sql"),
        ("table_without_row_security", "public.open"),
    ]);
}

/// Two differences of one table: what code says again is evidence of the one that it comes of.
#[tokio::test]
async fn evidence_is_attached_to_the_difference_that_it_comes_of() {
    let db = Project::database(&CLEAN).await;
    let sql = "alter table profiles drop constraint profiles_email_key; alter table orders drop constraint orders_owner_fkey; \
               drop policy \"Own profile\" on profiles; drop index orders_note_idx; \
               alter table orders drop constraint orders_total_check";
    db.admin().await.run(sql).await;
    let (project, options) = project(&CLEAN, ALL, ORDERS);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let report = Report::of(&project.run(Some(&db), &options).await);
    report.is(&[
        ("missing_constraint", "orders_owner_fkey on public.orders"),
        ("missing_constraint", "orders_total_check on public.orders"),
        ("missing_constraint", "profiles_email_key on public.profiles"),
        ("missing_index", "public.orders_note_idx"),
        ("missing_policy", "\"Own profile\" on public.profiles"),
    ]);
    for finding in report.list("findings") {
        let (object, evidence) =
            (finding["object"].as_str().unwrap(), finding["evidence"].as_str().unwrap());
        let has = evidence.contains("\nalso ");
        assert_eq!(
            has,
            object.starts_with("orders_owner_fkey") || object.starts_with("profiles_email_key"),
            "{finding:#}"
        );
    }
}

/// Another schema's table of the same name is another table.
#[tokio::test]
async fn a_document_that_names_the_wrong_users_is_told() {
    let users = "create table public.users (id uuid primary key); alter table public.users enable row level security; \
                 create policy p on public.users using (id is not null); \
                 create table public.posts (id int primary key, author uuid references public.users (id)); \
                 create index on public.posts (author); alter table public.posts enable row level security; \
                 create policy p on public.posts using (id > 1);";
    for (target, is_told) in [("auth.users", true), ("public.users", false), ("users", false)] {
        let document = format!(
            "## posts\n\n| Column | Type | Constraints |\n|---|---|---|\n| id | integer | |\n\
             | author | uuid | REFERENCES {target}(id) |\n"
        );
        let (project, options) = project(&[("1.sql", users)], "", &document);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let found = Report::of(&project.run(None, &options).await).found();
        let told = found.iter().any(|(kind, _)| kind == "document_foreign_key");
        assert_eq!(told, is_told, "{target}: {found:?}");
    }
}

/// A type, a view, functions, a key and policies that hang on a table.
const HANGING: (&str, &str) = (
    "0003_hanging.sql",
    "create type public.state as enum ('new', 'done');
     create table public.jobs (id int primary key, owner uuid references public.profiles (id), state public.state);
     create index on public.jobs (owner);
     create table public.job_steps (id int primary key, job int references public.jobs (id));
     create index on public.job_steps (job);
     create view public.open_jobs with (security_invoker = true) as select id, owner, state from public.jobs;
     create view public.first_jobs with (security_invoker = true) as select min(id) as id from public.open_jobs;
     create function public.jobs_of(who uuid) returns setof public.jobs language sql stable
         as $$ select * from public.jobs where owner = who $$;
     create function public.title(public.jobs) returns text language sql stable as $$ select 'x' $$;
     alter table public.jobs enable row level security; alter table public.job_steps enable row level security;
     create policy own on public.jobs for select to authenticated using ((select auth.uid()) = owner);
     create policy own on public.job_steps for select to authenticated
         using (exists (select from public.open_jobs j where j.id = job));
     alter publication supabase_realtime add table public.jobs;",
);
const USES: &str = "supabase.from('jobs').select('id, title')\n\
    supabase.from('open_jobs').select('id, state').eq('state', 'new')\n\
    supabase.from('first_jobs').select('id')\n\
    supabase.rpc('jobs_of', { who: 1 })\n\
    supabase.from('job_steps').select('id, jobs(id, owner)')\n\
    supabase.from('profiles').select('id, open_jobs(id)')\n\
    supabase.channel('x').on('postgres_changes', { event: '*', schema: 'public', table: 'jobs' }, f)\n";
const JOBS: &str = "## Tables\n\n- `jobs`\n- `open_jobs`\n\n## jobs\n\n| Column | Type | Constraints |\n|---|---|---|\n\
    | id | integer | PRIMARY KEY |\n| owner | uuid | REFERENCES profiles(id) |\n| state | state | |\n\n\
    ## job_steps\n\n| Column | Type | Constraints |\n|---|---|---|\n| id | integer | |\n\
    | job | integer | REFERENCES jobs(id) |\n";

/// What hangs on something that is gone is gone, too, and so are its uses: one finding.
#[tokio::test]
async fn uses_of_what_hangs_on_something_missing_are_evidence() {
    let files = [CLEAN[0], CLEAN[1], HANGING];
    let (project, options) = project(&files, USES, JOBS);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let db = Project::database(&files).await;
    Report::of(&project.run(Some(&db), &options).await).is(&[]);
    for (sql, kind, object, others) in [
        ("drop table jobs cascade", "missing_table", "public.jobs", 7),
        ("drop view open_jobs cascade", "missing_view", "public.open_jobs", 3),
        ("drop type state cascade", "missing_type", "public.state", 2),
        ("alter table jobs drop column owner cascade", "missing_column", "public.jobs.owner", 3),
        ("alter table jobs rename to tasks", "missing_table", "public.jobs", 4),
        ("alter type state rename value 'new' to 'fresh'", "different_type", "public.state", 1),
    ] {
        let db = Project::database(&files).await;
        db.admin().await.run(sql).await;
        let report = Report::of(&project.run(Some(&db), &options).await);
        assert_eq!(report.found(), [(kind.to_owned(), object.to_owned())], "{sql}\n{:#}", report.0);
        let evidence = report.text(kind, "evidence");
        let also = evidence.lines().filter(|line| line.starts_with("also ")).count();
        assert!(also >= others, "{sql}: {evidence}");
    }
}

const ALL: &str = "supabase.from('orders').select('id, note, owner(email)')\n\
    supabase.rpc('is_admin')\n\
    supabase.from('profiles').upsert({ email: 'a' }, { onConflict: 'email' })\n\
    supabase.channel('x').on('postgres_changes', { event: '*', schema: 'public', table: 'orders' }, f)\n";
const ORDERS: &str = "## orders\n\n| Column | Type | Default | Constraints |\n|---|---|---|---|\n\
    | id | bigserial | | PRIMARY KEY |\n| owner | uuid | | REFERENCES profiles(id) ON DELETE CASCADE |\n\
    | total | numeric(10,2) | 0 | |\n| note | text | | |\n| doubled | numeric | | |\n";

/// What somebody ran in the database, the finding, and who else tells it.
#[tokio::test]
async fn what_code_and_documents_tell_again_is_evidence() {
    let cases = [
        ("alter table orders drop column note", "missing_column", "public.orders.note", 2),
        ("drop table orders cascade", "missing_table", "public.orders", 2),
        ("drop function is_admin() cascade", "missing_function", "public.is_admin()", 1),
        (
            "alter table profiles drop constraint profiles_email_key",
            "missing_constraint",
            "profiles_email_key on public.profiles",
            1,
        ),
        (
            "alter table orders drop constraint orders_owner_fkey",
            "missing_constraint",
            "orders_owner_fkey on public.orders",
            2,
        ),
        (
            "alter publication supabase_realtime drop table orders",
            "missing_publication",
            "public.orders in supabase_realtime",
            1,
        ),
        (
            "alter table orders alter column total set default 1",
            "different_column",
            "public.orders.total",
            1,
        ),
        ("alter table orders add column more text", "extra_column", "public.orders.more", 1),
        (
            "alter table orders rename column note to remark",
            "missing_column",
            "public.orders.note",
            3,
        ),
    ];
    for (sql, kind, object, others) in cases {
        let db = Project::database(&CLEAN).await;
        db.connect(ADMIN).await.batch_execute(sql).await.unwrap();
        let (project, options) = project(&CLEAN, ALL, ORDERS);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let report = Report::of(&project.run(Some(&db), &options).await);
        report.is(&[(kind, object)]);
        let evidence = report.text(kind, "evidence");
        let also = evidence.lines().filter(|line| line.starts_with("also ")).count();
        assert!(also >= others, "{sql}: {evidence}");
    }
}
