//! Row 10: templates of many statements, loaded and run once on the server, as every command begins; and the same statements
//! sent to the server by hand: it takes longer for each, the more of them a transaction has.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use agent_provisioner::templates::{ExpectedSchema, Templates};
use tokio_postgres::Client;

use super::Bench;
use super::report::{Figure, ms, quantile};
use super::server::WORKER;

/// Statements of the smaller set, and of the larger one.
const FEW: usize = 200;
const MANY: usize = 2000;
const TURNS: usize = 5;
const TABLES: usize = 4;
/// To find out whether schema public has to be in the path, and to learn what the files make.
const RUNS: usize = 2;

pub async fn run(bench: &mut Bench) {
    bench.server.database("loader", 0).await;
    let mut client = bench.server.connect(WORKER, "loader").await;
    let sets = [FEW, MANY].map(|statements| (statements, write(statements)));
    let (mut read, mut many, mut plain) = ([Vec::new(), Vec::new()], Vec::new(), Vec::new());
    for _ in 0..TURNS {
        for (n, (statements, path)) in sets.iter().enumerate() {
            let (load, run) = turn(&mut client, path).await;
            let each = f64::from(u32::try_from(*statements).unwrap());
            read.get_mut(n).unwrap().push(load / each);
            if *statements == MANY {
                many.push(run);
                plain.push(by_hand(&mut client).await);
            }
        }
    }
    let [few, one_of_many] = read.map(|times| 1000.0 * quantile(&times, 50));
    let what = format!("a template's statement is read: one of {MANY} against one of {FEW}");
    bench.report.add(Figure::new(10, &what, "µs", one_of_many).floor(few).at_most(1.5));
    let [many, plain] = [many, plain].map(|times| quantile(&times, 50));
    let what =
        format!("a template of {MANY} statements is read and run, against the statements by hand");
    bench.report.add(Figure::new(10, &what, "ms", many).floor(plain).at_most(1.5));
}

/// Milliseconds for the larger set as often as it is run, each time in one transaction and each statement as a message of its
/// own.
async fn by_hand(client: &mut Client) -> f64 {
    let sql = text(MANY).replace("{prefix}", "plain");
    let started = Instant::now();
    for _ in 0..RUNS {
        let tx = client.transaction().await.unwrap();
        for statement in sql.lines() {
            tx.batch_execute(statement).await.unwrap();
        }
        tx.rollback().await.unwrap();
    }
    ms(started.elapsed())
}

/// Milliseconds to read the files, and to read and run them.
async fn turn(client: &mut Client, path: &Path) -> (f64, f64) {
    let started = Instant::now();
    let templates = Templates::from(Some(path), &[]).unwrap();
    let read = ms(started.elapsed());
    ExpectedSchema::prepare(client, templates).await.unwrap();
    (read, ms(started.elapsed()))
}

/// A directory with one file of so many statements.
fn write(statements: usize) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("loader-{statements}"));
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("0001_many.sql"), text(statements)).unwrap();
    path
}

fn text(statements: usize) -> String {
    let mut text = String::new();
    for n in 0..TABLES {
        let table = format!("public.{{prefix}}_t{n}");
        write!(
            text,
            "create table {table} (id int primary key, t text);\nalter table {table} enable row level security;\n"
        )
        .unwrap();
    }
    for n in 0..statements - 2 * TABLES {
        let table = n % TABLES;
        writeln!(text, "alter table public.{{prefix}}_t{table} alter t set default 'x{n}'; -- {n}")
            .unwrap();
    }
    text
}
