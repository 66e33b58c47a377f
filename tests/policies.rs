//! Who may do what to whose rows, whatever a project grants by default on what is new.

use std::fmt::Write;

use crate::support::{
    ADA, ADMIN, Admin, BEN, BOSS, CALLERS, CAT, Caller, DAN, Database, WORKER, begin,
};

/// As in new projects, and stricter: what is new is not even everybody's to execute.
const NOTHING_GRANTED: &str = "
    alter default privileges for role postgres in schema public
        revoke all on tables from anon, authenticated, service_role;
    alter default privileges for role postgres in schema public
        revoke all on sequences from anon, authenticated, service_role;
    alter default privileges for role postgres in schema public
        revoke all on functions from anon, authenticated, service_role;
    alter default privileges for role postgres revoke all on functions from public";

/// Table | column to change | whose row | new row; `{id}` is a user, `{agent}` that user's prefix, and `{own}` the end of
/// ids that belong to the agent's business.
pub const TABLES: &str = "
public.users                  | name       | id = '{id}'      | (id, name, email) values ('{id}', 'x', 'x@y')
public.agents                 | created_at | user_id = '{id}' | (agent_prefix, created_by) values ('agt_x', '{id}')
public.agent_states           | message    | agent_id in (select id from public.agents where user_id = '{id}') | (agent_id, state, message) select id, 'ready', 'x' from public.agents where user_id = '{id}'
public.whatsapp_configuration | api_key    | user_id = '{id}' | (user_id, whatsapp_number, webhook_url) values ('{id}', '+1', 'x')
public.{agent}_customers      | name       | id = 1           | (name, phone) values ('x', '+2')
public.{agent}_messages       | message    | id = 1           | (customer_id, message, direction) values (1, 'x', 'inbound')
public.{agent}_orders         | notes      | id = 1           | (customer_id) values (1)
public.{agent}_orders_items   | price      | id = 1           | (order_id, name) values (1, 'x')
provisioning.migrations       | checksum   | true             | values (99, 'x', '')
provisioning.jobs             | priority   | true             | (kind, agent_id, agent_prefix) values ('upgrade', 7, 'x')
provisioning.agents           | reference  | true             | values (7, 'x', null, 1, 'check')
provisioning.agent_tables     | table_name | true             | values ('public.users', 1, 'users')";

/// What each caller can do to Ada's rows and, second letter, to Ben's: y done, - nothing to be
/// seen, x refused. Cat created Ada's agent. An owner's insert is into the own tables.
const EXPECTED: &str = "
                                        anon    ada    ben    cat   boss nobody service postgres
public.users                  select      xx     yy     yy     yy     yy     --     yy     yy
                              insert      xx     xx     xx     xx     yy     xx     yy     yy
                              update      xx     --     --     --     yy     --     yy     yy
                              delete      xx     --     --     --     yy     --     yy     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx     xx
public.agents                 select      xx     yy     yy     yy     yy     --     yy     yy
                              insert      xx     xx     xx     xx     yy     xx     yy     yy
                              update      xx     y-     -y     y-     yy     --     yy     yy
                              delete      xx     y-     -y     y-     yy     --     yy     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx     xx
public.agent_states           select      xx     y-     -y     --     yy     --     yy     yy
                              insert      xx     xx     xx     xx     xx     xx     xx     yy
                              update      xx     xx     xx     xx     xx     xx     xx     yy
                              delete      xx     xx     xx     xx     xx     xx     xx     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx     yy
public.whatsapp_configuration select      xx     y-     -y     --     yy     --     yy     yy
                              insert      xx     yx     xy     xx     yy     xx     yy     yy
                              update      xx     y-     -y     --     yy     --     yy     yy
                              delete      xx     y-     -y     --     yy     --     yy     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx     yy
public.{agent}_customers      select      xx     y-     -y     --     yy     --     yy     yy
                              insert      xx     yx     xy     xx     yy     xx     yy     yy
                              update      xx     y-     -y     --     yy     --     yy     yy
                              delete      xx     y-     -y     --     yy     --     yy     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx     yy
public.{agent}_messages       select      xx     y-     -y     --     yy     --     yy     yy
                              insert      xx     yx     xy     xx     yy     xx     yy     yy
                              update      xx     y-     -y     --     yy     --     yy     yy
                              delete      xx     y-     -y     --     yy     --     yy     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx     yy
public.{agent}_orders         select      xx     y-     -y     --     yy     --     yy     yy
                              insert      xx     yx     xy     xx     yy     xx     yy     yy
                              update      xx     y-     -y     --     yy     --     yy     yy
                              delete      xx     y-     -y     --     yy     --     yy     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx     yy
public.{agent}_orders_items   select      xx     y-     -y     --     yy     --     yy     yy
                              insert      xx     yx     xy     xx     yy     xx     yy     yy
                              update      xx     y-     -y     --     yy     --     yy     yy
                              delete      xx     y-     -y     --     yy     --     yy     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx     yy
provisioning.migrations       all         xx     xx     xx     xx     xx     xx     xx     yy
provisioning.jobs             all         xx     xx     xx     xx     xx     xx     xx     yy
provisioning.agents           all         xx     xx     xx     xx     xx     xx     xx     yy
provisioning.agent_tables     all         xx     xx     xx     xx     xx     xx     xx     yy";

#[tokio::test]
async fn rows_are_their_owners_whatever_the_project_grants_by_default() {
    for defaults in ["", NOTHING_GRANTED] {
        for login in [WORKER, ADMIN] {
            let db = Database::empty().await;
            let admin = db.admin().await;
            admin.run(defaults).await;
            db.migrate().await;
            let _service = crate::support::Service::start(&db.url(login), &[]);
            admin.populate().await;
            admin.settled().await;
            admin.fill(&["agt_ada", "agt_ben"]).await;
            let found = table(&admin, TABLES, &CALLERS).await;
            assert_eq!(found.trim(), EXPECTED.trim(), "{defaults} built by {login}\n{found}");
            // The same in figures, and complete: nothing is granted that no statement above tries.
            let grants = admin.rows(include_str!("policies/grants.sql")).await.join("\n");
            insta::assert_snapshot!("grants", grants);
        }
    }
}

/// What each of these callers can do in each of these tables, as [`EXPECTED`] has it.
pub async fn table(admin: &Admin, tables: &str, callers: &[Caller]) -> String {
    let mut table = " ".repeat(37);
    for Caller { name, .. } in callers {
        write!(table, " {:>6}", name.trim_end_matches("_role")).unwrap();
    }
    for line in tables.trim().lines() {
        let mut cells = line.split('|').map(str::trim);
        let [relation, column, row, values] = std::array::from_fn(|_| cells.next().unwrap());
        let verbs = [
            ("select", format!("select from {relation} where {row}")),
            (
                "insert",
                format!("delete from {relation} where {row}; insert into {relation} {values}"),
            ),
            ("update", format!("update {relation} set {column} = {column} where {row}")),
            ("delete", format!("delete from {relation} where {row}")),
            ("truncate", format!("truncate {relation} cascade; select")),
        ];
        let mut rows = Vec::new();
        for (verb, sql) in verbs {
            let mut row = String::new();
            for caller in callers {
                let (ada, ben) = (
                    letter(admin, caller, &sql, &ADA).await,
                    letter(admin, caller, &sql, &BEN).await,
                );
                write!(row, " {:>6}", format!("{ada}{ben}")).unwrap();
            }
            rows.push((verb, row));
        }
        let mut name = relation;
        if relation.starts_with("provisioning.") {
            rows.dedup_by(|(_, row), (_, first)| row == first);
            if let [(verb, _)] = &mut rows[..] {
                *verb = "all";
            }
        }
        for (verb, row) in rows {
            write!(table, "\n{name:<29} {verb:<8}{}", row.strip_prefix(' ').unwrap()).unwrap();
            name = "";
        }
    }
    table
}

async fn letter(admin: &Admin, caller: &Caller, sql: &str, whose: &Caller) -> char {
    let sql = sql.replace("{agent}", &format!("agt_{}", whose.name)).replace("{id}", whose.id);
    // Of the business of that user's agent.
    let sql = sql.replace("{own}", whose.id.split_at(35).1);
    match admin.ask(caller, &sql).await {
        Ok(answer) if answer.touched > 0 => 'y',
        Ok(_) => '-',
        Err(error) => {
            // The owner may, and is refused: TRUNCATE of agents would delete all of them.
            let code = if caller.name == "postgres" { "55000" } else { "42501" };
            assert_eq!(error.code().code(), code, "{caller:?}: {sql}: {error}");
            'x'
        }
    }
}

/// Tokens that the gateway would not sign, or that outlive their user: nobody gains by them.
const FORGED: [(&str, &str); 9] = [
    (r#"{"role":"service_role"}"#, "0 0 0"),
    (r#"{"role":"service_role","sub":"{ben}"}"#, "1 1 0"),
    (r#"{"role":"postgres","sub":"{ben}","user_metadata":{"role":"admin"}}"#, "1 1 0"),
    (r#"{"sub":"00000000-0000-0000-0000-0000000000ee"}"#, "0 0 0"),
    (r#"{"sub":null}"#, "0 0 0"),
    (r#"[{"sub":"{ada}"}]"#, "0 0 0"),
    (r#"{"sub":"{ada}' or true"}"#, "22P02"),
    (r#"{"sub":["{ada}"]}"#, "22P02"),
    ("{", "22P02"),
];

#[tokio::test]
async fn forged_claims_open_nothing() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.populate().await;
    admin.settled().await;
    admin.fill(&["agt_ada", "agt_ben"]).await;
    let seen = "select concat_ws(' ', (select count(*) from public.whatsapp_configuration),
        (select count(*) from public.agt_ben_customers), (select count(*) from public.agt_ada_customers))";
    for (claims, expected) in FORGED {
        let begin =
            begin("authenticated", &claims.replace("{ada}", ADA.id).replace("{ben}", BEN.id));
        let found = match admin.attempt(&begin, seen).await {
            Ok(answer) => answer.rows.join(""),
            Err(error) => error.code().code().to_owned(),
        };
        assert_eq!(found, expected, "{claims}");
    }
    // Nor does a name of one's own for the worker's policies to read.
    let renamed = "set local application_name = 'agent_provisioner'; select from provisioning.jobs";
    assert_eq!(admin.ask(&BEN, renamed).await.unwrap_err().code().code(), "42501");
}

/// Who; what; the refusal.
const GUARDED: &[(Caller, &str, &str)] = &[
    (ADA, "select setval('public.agt_ada_customers_id_seq', 1)", "42501"),
    (ADA, "select last_value from public.agents_id_seq", "42501"),
    (BOSS, "select nextval('provisioning.jobs_id_seq')", "42501"),
    (ADA, "select nextval('public.agt_ada_customers_id_seq')", "42501"),
    (
        ADA,
        "select provisioning.next_id(1, 'public.agt_ada_customers_id_seq', current_user)",
        "42501",
    ),
    // What nobody else's next row may depend on.
    (
        DAN,
        "insert into public.whatsapp_configuration (id, user_id, whatsapp_number, webhook_url)
             values (3, '{dan}', '+3', 'x')",
        "42501",
    ),
    (ADA, "update public.whatsapp_configuration set id = 3", "42501"),
    (ADA, "update public.whatsapp_configuration set created_at = null", "42501"),
    (BOSS, "update public.agents set created_at = created_at - interval '1 day'", "42501"),
    (BOSS, "insert into public.agents (id, agent_prefix) values (3, 'agt_x')", "42501"),
    (BOSS, "update public.users set id = '{nobody}' where id = '{dan}'", "42501"),
    (BOSS, "update public.users set created_at = null", "42501"),
    (BOSS, "select * from provisioning.delete_agent(1)", "42501"),
    (BOSS, "select provisioning.is_admin()", "42501"),
    (BOSS, "create table public.mine ()", "42501"),
    (BOSS, "alter table public.agt_ada_customers disable row level security", "42501"),
    (BOSS, "create policy mine on public.agt_ada_customers", "42501"),
    (BOSS, "create trigger t before insert on public.agt_ada_orders execute function x()", "42501"),
    (
        ADA,
        "insert into public.agt_ada_customers (agent_id, name, phone) values (2, 'x', '+1')",
        "23514",
    ),
    (BOSS, "update public.agt_ada_customers set agent_id = 2", "23514"),
    (
        ADA,
        "insert into public.agt_ada_messages (customer_id, message, direction) values (9, 'x', 'inbound')",
        "23503",
    ),
    (BOSS, "update public.agents set agent_prefix = 'agt_x'", "23514"),
    (BOSS, "update public.agents set id = id + 10", "23514"),
    // Otherwise an owner would keep, as its creator, what an admin gives to somebody else.
    (ADA, "update public.agents set created_by = user_id where user_id = '{ada}'", "42501"),
    (
        ADA,
        "update public.agents set user_id = '{dan}', created_by = '{ada}' where user_id = '{ada}'",
        "42501",
    ),
    (ADA, "update public.agents set user_id = '{dan}' where user_id = '{ada}'", "42501"),
    // Nor does the creator, an admin once, come by the customers of what he created.
    (CAT, "update public.agents set user_id = '{cat}' where user_id = '{ada}'", "42501"),
    (CAT, "update public.agents set user_id = null where user_id = '{ada}'", "42501"),
    (ADA, "update public.whatsapp_configuration set user_id = '{dan}'", "42501"),
];

#[tokio::test]
async fn what_row_security_does_not_see_is_guarded_too() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.populate().await;
    admin.settled().await;
    admin.fill(&["agt_ada", "agt_ben"]).await;
    let nobody = ("{nobody}", "00000000-0000-0000-0000-0000000000ee");
    for (caller, sql, code) in GUARDED {
        let names = [("{ada}", ADA.id), ("{cat}", CAT.id), ("{dan}", DAN.id), nobody];
        let sql = names.iter().fold((*sql).to_owned(), |sql, (name, id)| sql.replace(name, id));
        let refusal = admin.ask(caller, &sql).await.expect_err(&sql);
        assert_eq!(refusal.code().code(), *code, "{}: {sql}: {refusal}", caller.name);
    }
    // Whole rows may be sent back, and the backend may do what the API may not.
    let whole = "update public.whatsapp_configuration
                 set id = id, created_at = created_at, api_key = 'x'";
    assert_eq!(admin.ask(&ADA, whole).await.unwrap().touched, 1);
    let service = CALLERS.iter().find(|caller| caller.name == "service_role").unwrap();
    let import =
        "insert into public.agents (id, agent_prefix, created_at) values (9, 'agt_x', now());
                  update public.agents set created_at = null where id = 9";
    assert_eq!(admin.ask(service, import).await.unwrap().touched, 1);
    // An admin gives the agent to somebody else, and takes it from the creator.
    let given =
        "update public.agents set user_id = '{dan}', created_by = null where user_id = '{ada}'
                 returning user_id = '{dan}' and created_by is null";
    let given = given.replace("{ada}", ADA.id).replace("{dan}", DAN.id);
    assert_eq!(admin.ask(&BOSS, &given).await.unwrap().rows, ["t"]);
}

#[tokio::test]
async fn a_demoted_admin_manages_what_he_created_and_reads_nothing_in_it() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let _service = db.service().await;
    admin.populate().await;
    admin.settled().await;
    admin.fill(&["agt_ada"]).await;
    admin.run(&format!("update public.agents set created_by = '{}'", BOSS.id)).await;
    admin.run("update public.users set role = 'agent' where name = 'boss'").await;
    for take in [
        "update public.agents set user_id = '{boss}' where agent_prefix = 'agt_ada'",
        "update public.agents set user_id = null where agent_prefix = 'agt_ada'",
    ] {
        let refusal = admin.ask(&BOSS, &take.replace("{boss}", BOSS.id)).await.unwrap_err();
        assert_eq!(refusal.message(), "only an admin may give an agent to another user");
    }
    let give =
        "select success from public.update_agent_details(1, null, '{\"user_id\":\"{boss}\"}');
                select name from public.agt_ada_customers";
    let answer = admin.ask(&BOSS, &give.replace("{boss}", BOSS.id)).await.unwrap();
    assert_eq!(answer.rows, ["f"]);
    let delete = "select success from public.delete_agent(1)";
    assert_eq!(admin.ask(&BOSS, delete).await.unwrap().rows, ["t"]);
    // The way to take that away, too, as docs/security.md has it.
    let text = crate::deploy::read("docs/security.md");
    let (_, take) = text.split_once("    update public.agents set created_by").unwrap();
    let (take, _) = take.split_once(';').unwrap();
    let take = format!("update public.agents set created_by{}", take.replace("<id>", BOSS.id));
    admin.run(&take).await;
    assert_eq!(admin.ask(&BOSS, delete).await.unwrap().rows, ["f"]);
    // A project's function by which users delete themselves works.
    let own = begin("postgres", &format!(r#"{{"sub":"{}"}}"#, ADA.id));
    let gone = "delete from auth.users where email ^@ 'ada'; select user_id from public.agents where id = 1";
    assert_eq!(admin.attempt(&own, gone).await.unwrap().rows, ["-"]);
}
