//! What the service costs and gains, measured in one run on one throwaway server.
//!
//! Three ways to the same four tables: the **service**; the **baseline**, a trigger that builds them
//! inside the admin's INSERT, as documented for the CRM (`baseline.sql`); and the **floor**, the
//! service's own SQL sent as one message per agent on one open connection by somebody who does
//! nothing else. What is compared is measured by turns, so ratios hold on a busy machine where
//! milliseconds do not.
//!
//! `cargo bench` runs all rows, `cargo bench -- --only NAME` some of them, `--full` the large sizes.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a bench that cannot go on has failed, and says so"
)]

mod chart;
mod proxy;
mod report;
mod server;
mod service;

mod bulk;
mod console;
mod fleet;
mod growth;
mod insert;
mod loader;
mod locks;
mod queue;
mod recovery;
mod rest;
mod rls;
mod stall;
mod usable;

use std::time::Instant;

use clap::{Parser, ValueEnum};
use report::Report;
use server::Server;

/// Measures the service against the trigger that it replaces, and against the SQL alone.
#[derive(Parser)]
struct Args {
    /// 10,000 agents where it matters: twenty minutes and more.
    #[arg(long)]
    full: bool,
    /// These rows only; the others stay as an earlier run left them.
    #[arg(long, value_name = "NAME")]
    only: Vec<Row>,
    /// What cargo says.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Row {
    Insert = 1,
    Usable,
    Bulk,
    Growth,
    Locks,
    Rls,
    Fleet,
    Rest,
    Recovery,
    Loader,
    Console,
}

/// What a row is given.
struct Bench {
    server: Server,
    report: Report,
    full: bool,
}

#[tokio::main]
async fn main() {
    let args = Args::parse();
    let mut bench =
        Bench { server: Server::start().await, report: Report::load(), full: args.full };
    let started = Instant::now();
    for row in Row::value_variants() {
        if !args.only.is_empty() && !args.only.contains(row) {
            continue;
        }
        println!("{:>4} s: {row:?}", started.elapsed().as_secs());
        bench.report.clear(*row as u8);
        match row {
            Row::Insert => insert::run(&mut bench).await,
            Row::Usable => usable::run(&mut bench).await,
            Row::Bulk => bulk::run(&mut bench).await,
            Row::Growth => growth::run(&mut bench).await,
            Row::Locks => {
                locks::run(&mut bench).await;
                stall::run(&mut bench).await;
            }
            Row::Rls => rls::run(&mut bench).await,
            Row::Fleet => fleet::run(&mut bench).await,
            Row::Rest => {
                rest::run(&mut bench).await;
                queue::run(&mut bench).await;
            }
            Row::Recovery => recovery::run(&mut bench).await,
            Row::Loader => loader::run(&mut bench).await,
            Row::Console => console::run(&mut bench).await,
        }
        bench.report.save();
    }
    println!("{:>4} s: done\n", started.elapsed().as_secs());
    bench.report.print();
}
