//! public.users follows auth.users, and nothing that happens there keeps anybody from signing up.

use agent_provisioner::dev_server::SUPERUSER;

use crate::support::{ADA, Admin, BOSS, CAT, Database};

const ID: &str = "00000000-0000-0000-0000-0000000000aa";
const NAMED: &str = "email, raw_user_meta_data";

/// What Supabase Auth inserts, and the name, e-mail address and role that come of it.
const SIGN_UPS: [(&str, &str, &str); 14] = [
    ("email", "'ada@example.com'", "ada ada@example.com agent"),
    ("phone", "'4912345'", "New user {id}@no-email.invalid agent"),
    ("is_anonymous", "true", "New user {id}@no-email.invalid agent"),
    ("email", "''", "New user {id}@no-email.invalid agent"),
    ("email", "'@'", "New user @ agent"),
    // Single sign-on may bring an address that somebody has.
    ("email, is_sso_user", "'taken@example.com', true", "taken {id}@no-email.invalid agent"),
    (NAMED, r#"'a@b', '{"full_name":" Ada L. ","name":"x"}'"#, "Ada L. a@b agent"),
    (NAMED, r#"'a@b', '{"name":"Ada"}'"#, "Ada a@b agent"),
    // Written by the user's browser.
    ("email, role, raw_app_meta_data", r#"'a@b', 'admin', '{"role":"admin"}'"#, "a a@b agent"),
    (NAMED, r#"'a@b', '{"role":"admin","name":{"role":"admin"}}'"#, "a a@b agent"),
    (NAMED, r#"'a@b', '"admin"'"#, "a a@b agent"),
    (NAMED, "'a@b', '[1]'", "a a@b agent"),
    (NAMED, r#"'a@b', '{"name":"x'', ''y'', ''admin''); --"}'"#, "x', 'y', 'admin'); -- a@b agent"),
    (NAMED, r#"'a@b', '{"name":"\r\n\t \u0007"}'"#, "a a@b agent"),
];

/// What breaks the copy; each is followed by a sign-up.
const BROKEN: [&str; 7] = [
    "alter table public.users rename to people",
    "drop table public.users cascade",
    "alter table public.users add column team text not null",
    "alter table public.users add check (name <> 'a')",
    "create function public.boom() returns trigger language plpgsql as
         $$ begin raise exception 'boom'; end $$;
     create trigger boom before insert on public.users for each row execute function public.boom()",
    "drop function provisioning.upsert_public_user(uuid, text, text, text)",
    "alter type public.role rename value 'agent' to 'member'",
];

/// As Supabase Auth is connected.
async fn auth(db: &Database) -> Admin {
    let auth = Admin(db.connect(SUPERUSER).await);
    auth.run("set role supabase_auth_admin; set search_path = auth").await;
    auth
}

fn row(columns: &str) -> String {
    format!("select concat_ws(' ', {columns}) from public.users where id = '{ID}'")
}

#[tokio::test]
async fn every_kind_of_sign_up_gets_a_row_and_nobody_a_role() {
    let db = Database::new().await;
    let (admin, auth) = (db.admin().await, auth(&db).await);
    auth.run("insert into users (email) values ('taken@example.com')").await;
    for (columns, values, expected) in SIGN_UPS {
        auth.run(&format!("insert into users (id, {columns}) values ('{ID}', {values})")).await;
        let found = admin.rows(&row("name, email, role")).await;
        assert_eq!(found, [expected.replace("{id}", ID)], "{columns}: {values}");
        auth.run(&format!("delete from users where id = '{ID}'")).await;
        assert_eq!(admin.rows(&row("name")).await, [""; 0], "{columns}: {values}");
    }
    let long = "jsonb_build_object('full_name', repeat('ä', 1000000))";
    auth.run(&format!("insert into users (id, {NAMED}) values ('{ID}', 'a@b', {long})")).await;
    assert_eq!(admin.rows(&row("length(name)")).await, ["255"]);
}

#[tokio::test]
async fn a_change_of_address_is_followed_and_a_chosen_name_is_kept() {
    let db = Database::new().await;
    let (admin, auth) = (db.admin().await, auth(&db).await);
    auth.run(&format!("insert into users (id) values ('{ID}')")).await;
    auth.run("insert into users (email) values ('taken@example.com')").await;
    for (change, expected) in [
        ("email = 'ada@example.com'", "ada ada@example.com agent"),
        (
            "email = 'ada@example.org', raw_user_meta_data = '{\"role\":\"admin\"}'",
            "ada ada@example.org agent",
        ),
        ("email = 'taken@example.com', is_sso_user = true", "taken {id}@no-email.invalid agent"),
        ("email = null, phone = '49123'", "New user {id}@no-email.invalid agent"),
        ("email = 'ada@example.com'", "ada ada@example.com agent"),
    ] {
        auth.run(&format!("update users set {change} where id = '{ID}'")).await;
        let found = admin.rows(&row("name, email, role")).await;
        assert_eq!(found, [expected.replace("{id}", ID)], "{change}");
    }
    // Role and name are changed here and not there.
    admin
        .run(&format!("update public.users set name = 'Ada L.', role = 'admin' where id = '{ID}'"))
        .await;
    auth.run(&format!("update users set email = 'x@y', role = 'agent' where id = '{ID}'")).await;
    assert_eq!(admin.rows(&row("name, email, role")).await, ["Ada L. x@y admin"]);
    // Signing in writes to auth.users each time: nothing to copy, nothing to wait for.
    let before = admin.rows(&row("xmin, ctid")).await;
    auth.run(&format!("update users set last_sign_in_at = now() where id = '{ID}'")).await;
    assert_eq!(admin.rows(&row("xmin, ctid")).await, before);
}

#[tokio::test]
async fn whatever_is_wrong_with_public_users_everybody_can_sign_up_change_and_leave() {
    for broken in BROKEN {
        let db = Database::new().await;
        let (admin, auth) = (db.admin().await, auth(&db).await);
        admin.run(broken).await;
        auth.run(&format!("insert into users (id, email) values ('{ID}', 'a@b')")).await;
        auth.run(&format!("update users set email = 'c@d' where id = '{ID}'")).await;
        auth.run(&format!("delete from users where id = '{ID}'")).await;
    }
}

#[tokio::test]
async fn a_lock_on_public_users_delays_a_sign_up_by_no_more_than_a_second() {
    let db = Database::new().await;
    let (admin, holder, auth) = (db.admin().await, db.admin().await, auth(&db).await);
    auth.run("set statement_timeout = '20s'").await;
    for locked in [
        "lock table public.users in access exclusive mode".to_owned(),
        format!("insert into public.users (id, name, email) values ('{}', 'x', 'a@b')", BOSS.id),
    ] {
        admin.run("alter table public.users drop constraint if exists users_id_fkey").await;
        holder.run(&format!("begin; {locked}")).await;
        auth.run(&format!("insert into users (id, email) values ('{ID}', 'a@b')")).await;
        holder.run("rollback").await;
        // The next change makes up for it.
        assert_eq!(admin.rows(&row("name")).await, [""; 0], "{locked}");
        auth.run(&format!("update users set email = 'c@d' where id = '{ID}'")).await;
        assert_eq!(admin.rows(&row("name, email")).await, ["c c@d"], "{locked}");
        auth.run("delete from users").await;
        admin.run("delete from public.users").await;
    }
}

#[tokio::test]
async fn who_leaves_takes_the_configuration_along_and_leaves_the_agent() {
    let db = Database::new().await;
    let (admin, auth) = (db.admin().await, auth(&db).await);
    admin.populate().await;
    for who in [ADA, CAT] {
        // Each at the own wish, through a function of the project's.
        auth.run(&format!("set request.jwt.claims = '{{\"sub\":\"{}\"}}'", who.id)).await;
        auth.run(&format!("delete from users where id = '{}'", who.id)).await;
    }
    let agent = "select agent_prefix, user_id, created_by from public.agents where id = 1";
    assert_eq!(admin.rows(agent).await, ["agt_ada|-|-"]);
    let left = "select api_key from public.whatsapp_configuration";
    assert_eq!(admin.rows(left).await, ["secret of ben"]);
}

#[tokio::test]
async fn who_signed_up_before_the_migrations_is_copied_by_them() {
    let db = Database::empty().await;
    let (admin, auth) = (db.admin().await, auth(&db).await);
    for (n, (columns, values, _)) in SIGN_UPS.iter().take(3).enumerate() {
        let id = format!("00000000-0000-0000-0000-0000000000a{n}");
        auth.run(&format!("insert into users (id, {columns}) values ('{id}', {values})")).await;
    }
    db.migrate().await;
    let names = "select name from public.users order by id";
    assert_eq!(admin.rows(names).await, ["ada", "New user", "New user"]);
}
