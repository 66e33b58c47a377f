//! Template sets drawn from a grammar: fresh, upgraded, repaired, restored and adopted agents are the same.
//!
//! `GENERATOR_SETS` says how many, `GENERATOR_SEED` which ones; `GENERATOR_FROM` leaves out those before that set, to try again
//! what was found. With `GENERATOR_PRINT` all of them are printed. Without a seed they are the same each time: no change fails
//! by chance. What was found is shrunk, and printed with the set that shows it.

mod grammar;

use agent_provisioner::dev_server::SUPERUSER;
use futures_util::{StreamExt as _, stream};
use grammar::{Set, Step, steps};
use proptest::strategy::{Strategy as _, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::constructs::{Damage, Paths, Templates};
use crate::support::{Admin, Database, Order};

/// On one database: a set costs less so. One that is found to be wrong is tried again by itself.
const TOGETHER: usize = 3;
/// How often sets are tried again to make them smaller, in a run.
const TRIALS: usize = 20;
/// What a statement is tried for.
const PREFIX: &str = "agt_try";
const ID: &str = "742424100";

/// What damages agents, one half of what there is; see there.
const DROP: &str = include_str!("generator/drop.sql");
const DROP_COLUMNS: &str = include_str!("generator/drop_columns.sql");
const DRIFT: &str = include_str!("generator/drift.sql");

/// Those of the steps whose statements the server takes.
async fn accepted(root: &Admin, name: &str, steps: &[Step]) -> Set {
    let mut set = Set::new(name);
    root.run("begin; set local role agent_provisioner").await;
    for step in steps {
        let before = set.clone();
        let Some(sql) = set.take(step) else { continue };
        let filled = sql.replace("{prefix}", PREFIX).replace("{agent_id}", ID);
        // What waits for the commit is looked at, and waits again.
        let tried = format!(
            "savepoint tried; {filled}; savepoint checked; set constraints all immediate; rollback to savepoint checked; \
             release savepoint tried"
        );
        if root.batch_execute(&tried).await.is_ok() {
            set.add(sql);
        } else {
            root.run("rollback to savepoint tried; release savepoint tried").await;
            set = before;
        }
    }
    root.run("rollback").await;
    set
}

/// Files of several sets: the first of all, the second of all…
fn templates(sets: &[Set]) -> Templates {
    let count = sets.iter().map(|set| set.files.len()).max().unwrap_or_default();
    let file = |at: usize| {
        let statements = sets.iter().filter_map(|set| set.files.get(at)).flatten();
        let text: Vec<_> = statements.map(|sql| format!("{sql};\n")).collect();
        (format!("{:04}_drawn.sql", at + 1), text.concat() + "select 1;\n")
    };
    let keys = |files: usize| sets.iter().map(|set| set.keys(files)).collect();
    Templates { files: (0..count).map(file).collect(), keys: (1..=count).map(keys).collect() }
}

/// What is wrong with agents of these sets.
async fn findings(sets: Vec<Set>, seed: u64) -> Vec<String> {
    let reference = if seed.is_multiple_of(2) { "check" } else { "foreign_key" };
    let damage = |prefix, sql: &str, force, order| Damage {
        prefix,
        sql: sql.replace("{seed}", &seed.to_string()),
        force,
        order,
    };
    let damages = [
        damage("agt_cut", DROP, false, Order::Kept),
        damage("agt_col", DROP_COLUMNS, false, Order::Free),
        damage("agt_odd", DRIFT, true, Order::Kept),
    ];
    let judged = tokio::spawn(async move {
        let paths = Paths::new(templates(&sets), reference).await;
        paths.go(&damages, true).await
    });
    judged.await.unwrap_or_else(|panicked| vec![panicked.to_string()])
}

fn text(set: &Set) -> String {
    let Templates { files, keys } = templates(std::slice::from_ref(set));
    let files: Vec<_> =
        files.into_iter().map(|(name, text)| format!("-- {name}\n{text}")).collect();
    format!("{}-- foreign_key.sql\n{}", files.concat(), keys.last().unwrap())
}

/// The smallest set that shows something, as far as the trials go, and what it shows. Each is printed when it is found:
/// whoever does not wait for the end knows the last one.
async fn shrunk(
    root: &Admin,
    tree: &mut dyn ValueTree<Value = Vec<Step>>,
    name: &str,
    seed: u64,
    trials: &mut usize,
) -> Option<String> {
    let mut least = None;
    while *trials > 0 {
        *trials -= 1;
        let set = accepted(root, name, &tree.current()).await;
        let found = findings(vec![set.clone()], seed).await;
        let more = if found.is_empty() {
            // By itself nothing is wrong with it.
            least.as_ref()?;
            tree.complicate()
        } else {
            let smaller = format!("{}\n{}", text(&set), found.join("\n"));
            eprintln!("generator: {trials} trials left; set {name} shows by itself:\n{smaller}");
            least = Some(smaller);
            tree.simplify()
        };
        if !more {
            break;
        }
    }
    least
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drawn_template_sets_make_the_same_agent_whichever_way_it_comes_to_its_tables() {
    let seed = setting("GENERATOR_SEED").unwrap_or(168_223);
    let count = usize::try_from(setting("GENERATOR_SETS").unwrap_or(20)).unwrap();
    let first = usize::try_from(setting("GENERATOR_FROM").unwrap_or(0)).unwrap() / TOGETHER;
    eprintln!("generator: GENERATOR_SEED={seed} GENERATOR_SETS={count}");
    let rng =
        TestRng::from_seed(RngAlgorithm::ChaCha, &[&seed.to_le_bytes()[..], &[0; 24]].concat());
    let mut runner =
        TestRunner::new_with_rng(Config { failure_persistence: None, ..Config::default() }, rng);
    let drawn = steps(10..40);
    let mut trees: Vec<_> =
        (0..first * TOGETHER + count).map(|_| drawn.new_tree(&mut runner).unwrap()).collect();
    let db = Database::new().await;
    let root = Admin(db.connect(SUPERUSER).await);
    let mut groups = Vec::new();
    let mut statements = 0;
    for (group, trees) in (seed..).zip(trees.chunks(TOGETHER)).skip(first) {
        let mut sets = Vec::new();
        for (at, tree) in trees.iter().enumerate() {
            let set = accepted(&root, &name(at), &tree.current()).await;
            statements += set.files.iter().map(Vec::len).sum::<usize>();
            sets.push(set);
        }
        groups.push((group, sets));
    }
    eprintln!("generator: {statements} statements");
    if std::env::var_os("GENERATOR_PRINT").is_some() {
        groups.iter().flat_map(|(_, sets)| sets).for_each(|set| eprintln!("{}", text(set)));
    }
    assert!(statements >= 8 * count, "{statements} statements in {count} sets");
    let judged = stream::iter(groups).map(|(group, sets)| async move {
        let found = findings(sets.clone(), group).await;
        (group, sets, found)
    });
    let mut judged: Vec<_> = judged.buffer_unordered(2).collect().await;
    judged.retain(|(.., found)| !found.is_empty());
    let mut told = Vec::new();
    let mut trials = TRIALS;
    for (group, sets, found) in judged {
        let from = usize::try_from(group - seed).unwrap() * TOGETHER;
        eprintln!(
            "generator: GENERATOR_SEED={seed} found with sets {from} to {}:\n{}",
            from + sets.len() - 1,
            found.join("\n")
        );
        let mut alone = Vec::new();
        for (at, tree) in trees.iter_mut().skip(from).take(sets.len()).enumerate() {
            alone.extend(shrunk(&root, tree, &name(at), group, &mut trials).await);
        }
        if alone.is_empty() {
            let texts: Vec<_> = sets.iter().map(text).collect();
            alone.push(format!("together only:\n{}\n{}", texts.join("\n"), found.join("\n")));
        }
        told.extend(alone);
    }
    assert!(told.is_empty(), "{} sets\n{}", told.len(), told.join("\n\n"));
}

fn name(at: usize) -> String {
    format!("s{at}")
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}
