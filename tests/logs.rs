//! One line for each job, and nothing in it that is nobody's business.

use crate::support::{Database, Files};

/// For one prefix it fails on its own row, as an upgrade of a large table can.
const TEMPLATE: &str = "\
create table public.{prefix}_notes (note text);
insert into public.{prefix}_notes
    select 'row of a customer' from generate_series(1, 2)
    where '{prefix}' in ('agt_twice', 'agt_wrong');
insert into public.{prefix}_notes
    select note::integer from public.{prefix}_notes where '{prefix}' = 'agt_wrong';
create unique index {prefix}_notes_note_idx on public.{prefix}_notes (note);
";

#[tokio::test]
async fn each_job_is_one_line_without_the_content_of_any_row() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let templates = Files::new(&[("0001_notes.sql", TEMPLATE)]);
    let service = db.service_with(&[("TEMPLATES", templates.path())]).await;
    for prefix in ["agt_good", "agt_twice", "agt_wrong"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    // The operator's own record has it all.
    assert_eq!(
        admin
            .rows(
                "select last_sqlstate, last_error like '%row of a customer%' \
                    from provisioning.jobs where state = 'dead' order by id"
            )
            .await,
        ["23505|t", "22P02|t"]
    );
    for prefix in ["agt_good", "agt_twice", "agt_wrong"] {
        service.logged(prefix).await; // right after the commit
    }
    let log = service.log();
    assert!(!log.contains("row of a customer"));
    assert!(!log.contains(&db.server.password()));
    let id = "\"agent.id\":1,";
    let cases = [
        ("agt_good", ["\"job done\"", "\"outcome\":\"provisioned\"", id]),
        ("agt_twice", ["\"job failed\"", "\"outcome\":\"dead\"", "SQLSTATE 23505"]),
        ("agt_wrong", ["\"job failed\"", "\"outcome\":\"dead\"", "SQLSTATE 22P02"]),
    ];
    for (prefix, texts) in cases {
        let prefix = format!("\"agent.prefix\":\"{prefix}\"");
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(&prefix)).collect();
        let [line] = lines[..] else { panic!("{lines:?}") };
        for text in ["\"job.kind\":\"provision\"", "\"attempt\":1,", "\"duration_ms\":"] {
            assert!(line.contains(text), "{text} in {line}");
        }
        for text in texts {
            assert!(line.contains(text), "{text} in {line}");
        }
    }
}
