//! One line for each job, and nothing in it that is nobody's business; and a log that cannot be written.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;

use serde_json::Value;

use crate::support::{Admin, Database, Files, WORKER, provisioner, temp_dir, until};

/// For one prefix it fails on its own row, as an upgrade of a large table can.
const TEMPLATE: &str = "\
-- provisioner: public {prefix}_notes
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

/// A service whose log goes elsewhere; killed when dropped.
struct Unheard(Child);

impl Unheard {
    fn start(db: &Database, level: &str, log: Stdio) -> Self {
        let mut command = provisioner(&db.url(WORKER));
        command.env("PROVISIONER_LOG__LEVEL", level).arg("run").stderr(log);
        Self(command.spawn().unwrap())
    }

    /// Agents are built and dropped.
    async fn works(&mut self, admin: &Admin) {
        for prefix in ["agt_a", "agt_b", "agt_c"] {
            admin.create(prefix).await;
            admin.settled().await;
            assert_eq!(admin.tables(prefix).await.len(), 4);
        }
        admin.run("delete from public.agents").await;
        admin.settled().await;
    }

    async fn ended(&mut self) -> ExitStatus {
        let child = Mutex::new(&mut self.0);
        until("the service to end", || async { child.lock().unwrap().try_wait().unwrap() }).await
    }

    async fn ends_in_order(mut self) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        assert_eq!(self.ended().await.code(), Some(0));
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test]
async fn a_log_on_a_full_disk_or_without_a_reader_costs_lines_and_nothing_else() {
    for full in [true, false] {
        let db = Database::new().await;
        let admin = db.admin().await;
        let log = if full {
            fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into()
        } else {
            Stdio::piped()
        };
        let mut service = Unheard::start(&db, "trace", log);
        drop(service.0.stderr.take()); // the reader
        service.works(&admin).await;
        service.ends_in_order().await;
    }
}

#[tokio::test]
async fn a_reader_that_reads_no_more_stops_nobody_and_hears_later_what_was_lost() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let mut service = Unheard::start(&db, "trace", Stdio::piped());
    let log = service.0.stderr.take().unwrap();
    service.works(&admin).await;
    // More than the pipe and the queue hold.
    let many = "insert into public.agents (agent_prefix) select 'agt_' || n from generate_series(1, 100) n";
    admin.run(many).await;
    admin.all_done().await;
    let (tell, told) = channel();
    thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            tell.send(line).ok();
        }
    });
    let lost = until("the reader to hear of it", || async {
        told.try_iter().find(|line| line.contains("lines of the log were lost"))
    });
    let lost: Value = serde_json::from_str(&lost.await).unwrap();
    assert!(lost["lost"].as_u64().unwrap() > 0);
    service.ends_in_order().await;
    assert!(told.iter().any(|line| line.contains("\"stopping\"")), "the last lines are written");
}

/// Its supervisor waits for its end, to start it again.
#[tokio::test]
async fn whoever_reads_nothing_does_not_keep_a_service_that_cannot_start() {
    let db = Database::new().await;
    db.admin()
        .await
        .run("update provisioning.migrations set checksum = '' where version = 1")
        .await;
    for level in ["info", "trace"] {
        let (mut log, full) = std::io::pipe().unwrap();
        // All that a pipe holds.
        let mut filler = Command::new("timeout");
        filler.args(["5", "cat", "/dev/zero"]).stdout(full.try_clone().unwrap());
        assert_eq!(filler.status().unwrap().code(), Some(124));
        drop(filler);
        let mut service = Unheard::start(&db, level, full.into());
        assert_eq!(service.ended().await.code(), Some(1));
        drop(service);
        let mut said = Vec::new();
        log.read_to_end(&mut said).unwrap();
        assert!(said.iter().all(|byte| *byte == 0));
    }
}

/// In systemd's journal each line has its priority; elsewhere none has one. What ends the service is a line as the others.
#[test]
fn the_journal_gets_priorities_and_the_last_line_is_as_the_others() {
    let directory = temp_dir().join("journal");
    fs::create_dir_all(&directory).unwrap();
    for (in_journal, head) in [(true, "<3>{"), (false, "{")] {
        let path = directory.join(format!("log-{in_journal}"));
        let file = fs::File::create(&path).unwrap();
        let it = file.metadata().unwrap();
        let stream = if in_journal { it.ino() } else { it.ino() + 1 };
        let mut command = provisioner("postgres://me@127.0.0.1:9/x");
        command.env("JOURNAL_STREAM", format!("{}:{stream}", it.dev()));
        command.env("PROVISIONER_TEMPLATES", "/nowhere").arg("run").stderr(file);
        assert_eq!(command.status().unwrap().code(), Some(2));
        let text = fs::read_to_string(&path).unwrap();
        let line = text.lines().last().unwrap();
        assert!(line.starts_with(head), "{line}");
        let event: Value = serde_json::from_str(line.trim_start_matches("<3>")).unwrap();
        assert_eq!(event.get("level").unwrap(), "ERROR");
        assert!(event.get("error").unwrap().as_str().unwrap().contains("/nowhere"), "{line}");
    }
    fs::remove_dir_all(directory).unwrap();
}
