//! What the documents say of the database: statements to paste, tables, functions, states, findings, metrics.

use std::collections::BTreeSet;

use super::markdown::{code, spans, table};
use super::{documents, read};
use crate::support::{ADMIN, Admin, Database, ask, get, json};

/// How a statement begins that somebody is to paste.
const BEGINNINGS: [&str; 12] = [
    "select ",
    "update ",
    "insert ",
    "delete ",
    "alter ",
    "grant ",
    "revoke ",
    "set ",
    "drop ",
    "explain ",
    "listen ",
    "truncate ",
];
/// Those that can be run and taken back without a trace in other tests.
const RUN: [&str; 4] = ["alter ", "grant ", "revoke ", "set "];
const SOMEBODY: &str = "00000000-0000-0000-0000-00000000000a";

/// The statements of code blocks, and those in prose that are whole, with placeholders filled in.
pub fn statements(text: &str) -> Vec<String> {
    let begins = |text: &str| BEGINNINGS.iter().any(|beginning| text.starts_with(beginning));
    let mut found: Vec<String> = Vec::new();
    let mut open = false;
    for line in code(text) {
        if open {
            let last = found.last_mut().unwrap();
            last.push(' ');
            last.push_str(&line);
        } else if begins(&line) {
            found.push(line.clone());
        } else {
            continue;
        }
        open = !line.ends_with(';') && line.ends_with(',');
    }
    let whole = |span: &String| {
        let whole = span.starts_with("select ")
            || span.starts_with("update ")
            || span.starts_with("alter table ");
        whole && !span.contains('…')
    };
    found.extend(spans(text).into_iter().filter(whole));
    let fill = |sql: String| {
        let placeholders = [
            "<id>",
            "<user>",
            "<member>",
            "<admin>",
            "<another user's id>",
            "<business>",
            "<app>",
            "<invitation>",
        ];
        let sql = placeholders.iter().fold(sql, |sql, name| sql.replace(name, SOMEBODY));
        sql.replace("{prefix}", "agt_6f78").replace("{agent_id}", "1")
    };
    found.into_iter().map(fill).collect()
}

/// Statements that the server does not take.
async fn refused(admin: &Admin, text: &str) -> Vec<String> {
    let mut refused = Vec::new();
    for sql in statements(text) {
        for one in sql.split(';').map(str::trim).filter(|one| !one.is_empty()) {
            let parsed = admin.prepare(one).await.map(drop);
            let run = RUN.iter().any(|beginning| one.starts_with(beginning));
            let done = match parsed {
                Ok(()) if run => {
                    let done = admin.batch_execute(&format!("begin; {one}")).await;
                    admin.run("rollback").await;
                    done
                }
                parsed => parsed,
            };
            if let Err(error) = done {
                refused.push(format!("{one}: {:?}", error.as_db_error().map(ToString::to_string)));
            }
        }
    }
    refused
}

/// A database with the agent that the documents speak of.
async fn crm() -> (Database, Admin) {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    admin.create("agt_6f78").await;
    admin.settled().await;
    drop(service);
    (db, admin)
}

#[tokio::test]
async fn every_statement_can_be_pasted() {
    let (_db, admin) = crm().await;
    let planted = "`select gone from public.agents`\n\n    update public.users set rule = 'admin';\n\n    \
                   alter role nobody_here connection limit 1;\n    select 1;\n";
    assert_eq!(refused(&admin, planted).await.len(), 3);
    let mut count = 0;
    for (name, text) in documents() {
        count += statements(&text).len();
        assert_eq!(refused(&admin, &text).await, [""; 0], "{name}");
    }
    assert!(count > 10, "{count}");
}

/// The tables under each heading of docs/schema.md that are not those of the catalog.
async fn wrong_tables(admin: &Admin, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for heading in text.lines().filter(|line| line.starts_with("### ")) {
        let name = heading.trim_start_matches("### ").replace("{prefix}", "agt_6f78");
        let name = if name.contains('.') { name } else { format!("public.{name}") };
        let columns = format!(
            "select attname, format_type(atttypid, atttypmod), case when attnotnull then 'no' else 'yes' end,
                case when atthasdef and attgenerated = '' or attidentity <> '' then 'default' else '' end
             from pg_attribute where attrelid = to_regclass('{name}') and attnum > 0 and not attisdropped
             order by attnum"
        );
        let row = |cells: Vec<String>| {
            let [name, kind, null, default, _] = <[String; 5]>::try_from(cells).unwrap();
            let default = if default.is_empty() { "" } else { "default" };
            [name.trim_matches('`'), kind.trim_matches('`'), &null, default].join("|")
        };
        let documented: Vec<String> = table(text, heading).into_iter().map(row).collect();
        if documented != admin.rows(&columns).await || documented.is_empty() {
            wrong.push(name);
        }
    }
    wrong
}

#[tokio::test]
async fn the_schema_has_the_documented_columns() {
    let (_db, admin) = crm().await;
    let text = read("docs/schema.md");
    let planted = text.replace("| `notes` | `text` | yes |", "| `notes` | `text` | no |");
    assert_eq!(wrong_tables(&admin, &planted).await, ["public.agt_6f78_orders"]);
    assert_eq!(wrong_tables(&admin, &text).await, [""; 0]);
    let tables = "select 'public.' || relname from pg_class
        where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1";
    let documented = text.replace("### {prefix}", "### agt_6f78");
    for table in admin.rows(tables).await {
        let heading = format!("\n### {}\n", table.trim_start_matches("public."));
        assert!(documented.contains(&heading), "{table}");
    }
    let ours = "select relname from pg_class
        where relnamespace = 'provisioning'::regnamespace and relkind = 'r' and relname !~ '_gate$'";
    for table in admin.rows(ours).await {
        let named = text.contains(&format!("`{table}`"))
            || text.contains(&format!("### provisioning.{table}\n"));
        assert!(named, "provisioning.{table}");
    }
}

#[tokio::test]
async fn the_functions_of_the_api_are_the_documented_ones() {
    let (_db, admin) = crm().await;
    let text = read("docs/api.md");
    let signatures = "select format(E'%s(%s)\n→ %s', proname,
            regexp_replace(pg_get_function_arguments(oid), ' DEFAULT [^,]*', '', 'g'),
            regexp_replace(pg_get_function_result(oid), '^TABLE\\((.*)\\)$', '\\1'))
        from pg_proc where pronamespace = 'public'::regnamespace";
    let found: BTreeSet<String> = admin.rows(signatures).await.into_iter().collect();
    let lines = code(&text);
    let pairs = lines.windows(2).filter(|pair| pair[1].starts_with('→'));
    let documented: BTreeSet<String> = pairs.map(|pair| pair.join("\n")).collect();
    assert_eq!(documented, found, "left: docs/api.md, right: the database");
    let states = "select distinct state[1] from pg_proc, regexp_matches(prosrc, '(?:then|else) ''([a-z]+)''', 'g') state
        where oid = 'provisioning.agent_state(boolean,boolean,text,text,boolean,boolean)'::regprocedure";
    let found: BTreeSet<String> = admin.rows(states).await.into_iter().collect();
    let documented = table(&text, "### agent_status").into_iter();
    let documented: BTreeSet<String> =
        documented.map(|row| row[0].trim_matches('`').to_owned()).collect();
    // Those of `agents list` alone.
    let listed = ["drifted".to_owned(), "renamed".to_owned()];
    let all: BTreeSet<String> = found.into_iter().chain(listed).collect();
    assert_eq!(documented, all, "left: docs/api.md, right: the database");
    assert_eq!(all.len(), 13);
}

#[tokio::test]
async fn findings_and_metrics_have_the_documented_names() {
    let (db, _admin) = crm().await;
    let findings = json(&ask(&db.url(ADMIN), &["doctor", "--json"]).await);
    let found: BTreeSet<String> = findings
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["what"].as_str().unwrap().to_owned())
        .collect();
    let text = read("docs/operate.md");
    let rows = table(&text, "## Doctor finds something");
    let named = rows
        .iter()
        .flat_map(|row| row[0].split(", "))
        .map(|name| name.trim_matches('`').to_owned());
    assert_eq!(named.collect::<BTreeSet<_>>(), found, "left: docs/operate.md, right: doctor");
    let service = db.service().await;
    let (code, metrics) = get(&service.http().await, "/metrics");
    assert_eq!(code, 200);
    for (name, text) in documents() {
        // Some are there where there are many databases: tests/many_databases.rs.
        let of_many = |span: &str| span.starts_with("agent_provisioner_database_");
        let spans = spans(&text);
        let metrics_of = |span: &&String| span.starts_with("agent_provisioner_") && !of_many(span);
        for metric in spans.iter().filter(metrics_of) {
            assert!(metrics.contains(&format!("{metric} ")), "{name}: {metric}");
        }
    }
}
