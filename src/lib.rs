//! Builds, keeps and deletes each agent's tables in a WhatsApp CRM on Supabase or PostgreSQL.
//!
//! An admin's INSERT into `agents` writes a row of `provisioning.jobs` and a notification, by a trigger and in the same
//! transaction. Everything else happens here, in a worker:
//!
//! ```text
//! agents ──trigger──▶ provisioning.jobs ──NOTIFY──▶ postgres::Listener ──▶ worker::WakeupSignal
//!    ▲                       ▲  │                                              │
//!    │                       │  └──────── claim, SKIP LOCKED ──▶ worker::Worker ──▶ provisioning
//!    └── worker::Reconcile ──┘                                   one transaction per agent
//! ```
//!
//! - One transaction claims a job, does the work and records the outcome. A worker that dies leaves neither the effect
//!   nor its record, and the server frees the job.
//! - A notification is a hint. Workers also poll, and `worker::Reconcile` compares agents with the registry. A lost
//!   notification or a disabled trigger costs time and no agent.
//! - The SQLSTATE decides whether a job that the server refused is tried again; a table of codes decides for all other
//!   failures: `queue/retry_policy.rs`.
//! - Names of tables come from a parsed [`agent::Prefix`] or from the catalog. Values are bind parameters.
//!
//! # The map
//!
//! Each folder is a layer. A layer uses the layers below it and none above.
//!
//! ```text
//! cli                    arguments in, text or JSON out
//! console                requests of a browser in, HTML out
//! operations             use cases: (actor, instance, …) in, data out; `doctor` among them
//! service                an Instance = everything for one database; one or many of them; start order, probes, shutdown
//! worker     config      claim loop, dispatch, reconcile, purge, verify, hang detection · settings
//! audit                  a project's files, code and documents against its database, by way of a shadow
//! provisioning           what is done to one agent: build, delete, trash, restore, upgrade, repair, adopt
//! templates  queue       template files and what they make · the jobs table, retry policy, administration
//! base_schema            whether the tables, functions and policies of ours are as they should be
//! schema                 a database schema as data: facts, differences, a repair plan
//! postgres               connections, TLS, failover, migrations, locks on shared tables
//! agent  sql_text  telemetry  tokens  dev_server    identity · SQL as text · logs and metrics · encrypted secrets · a throwaway server
//! ```
//!
//! Statements longer than a few lines are in `sql/`, in folders of the same names. `sql/migrations` and `sql/base` make the
//! base schema, `sql/agent` is the built-in template set.
//!
//! # Where is the answer?
//!
//! | Question | File |
//! |---|---|
//! | When is an error retried? | `queue/retry_policy.rs` |
//! | What happens from claim to commit? | `worker/claim_loop.rs` (`step` and `settle`) |
//! | How is a hung connection noticed? | `worker/hang_detection.rs` |
//! | How do I add a kind of job? | `CONTRIBUTING.md`, then `queue/kind.rs` |
//! | Where is a job queued? | `sql/base/20_queue_triggers.sql` (changes of agents), `sql/base/78_queue_writes.sql` (operators, reconcile) |
//! | What does an agent's state mean? | `docs/api.md`; `sql/base/38_agent_states.sql` |
//! | What goes on right now? | `sql/operations/status.sql` |
//! | Who may act in the console? | `console/guard.rs`, `console/viewer.rs`; its database role: `deploy/roles.sql` |
//! | What is `/livez`? | `service/served.rs`, `telemetry/liveness.rs` |
//! | What happens when one of many databases is away? | `service/supervisor.rs` |
//! | How does a command go over many databases? | `cli/databases.rs` (which), `cli/group.rs` (in which order) |
//! | How are two schemas compared? | `schema/difference.rs` |
//! | Which agents does verify leave out? | `sql/provisioning/fingerprints_relations.sql` |
//! | What happens in an audit? | `audit/mod.rs` (`Audit::run`); `docs/audit.md` |
//! | What is masked in an audit's report? | `audit/mask/mod.rs` |
//! | How is a token encrypted? | `docs/tokens.md`; `tokens/sealed.rs`, `tokens/key.rs` |
//! | What is checked in a template? | `docs/templates.md`; `templates/lint.rs` (text), `templates/validation.rs` (on a server) |
//! | Which SQL does this function run? | its own `include_str!`; a function of schema `provisioning`: `sql/base` |
//! | What does code ask of a database? | `audit/code/uses.rs`; PostgREST's grammar: `audit/code/grammar.rs` |
//! | Which database has an agent that is being moved? | `provisioning/moving/mod.rs`; `docs/moves.md` |
//! | How does an upgrade work? | `provisioning/upgrade.rs`, `worker/upgrade_runner.rs` |
//!
//! # Terms
//!
//! - **agent**: a tenant, a row of `public.agents`.
//! - **prefix**: the head of the names of an agent's tables.
//! - **base schema**: what all agents share: `sql/migrations` and `sql/base`. The files of `sql/base` are **repeatable**.
//! - **template**: a SQL file from which agents' tables are built. **template version**: the number of an agent's last file.
//! - **stage**: template files that take effect together in an upgrade.
//! - **move**: an agent goes from one database, the **source**, to another, the **target**.
//! - **registry**: `provisioning.agents` and `agent_tables`: what belongs to which agent, by oid.
//! - **unmanaged**: named like an agent's table, and not in the registry.
//! - **rehearsal**: the templates, run for a scratch prefix and rolled back. **expected schema**: what it showed.
//! - **fact**: one object or property in a catalog: a column, a policy, a grant.
//! - **fingerprint**: what stands for all rows of the catalog that an agent's facts are read from.
//! - **difference**: a fact that is missing, differs or is extra. **drift**: all differences of an agent.
//! - **job**: a row of `provisioning.jobs`.
//! - **claim**: to lock a job and take it. **settle**: to record its outcome.
//! - **dead**: failed for good; a person has to act. **paused**: waits for an operator's approval.
//! - **kept**: an agent whose row is gone and whose deletion was cancelled.
//! - **superseded**: pointless by now, since the agent is gone, changed or back.
//! - **to give way**: to fail at once where another session holds a lock, and to come back soon.
//! - **held back**: left out of a request, since a dead job holds up the prefix.
//! - **reconcile**: to compare all agents with the registry and queue what nobody reported. One run is a **sweep**.
//! - **unreported**: a deletion that nobody asked for; reconcile found the tables without their agent.
//! - **trash**: deleted agents' tables that can still be restored. **purge**: to drop them.
//! - **shadow**: a server on which an audit runs a project's files to see what they make.
//! - **ledger**: `provisioning.migrations` and `repeatables`: what `migrate` has applied.
//! - **instance**: in tables, metrics and documents a running service; the others on its database are its **peers**. The type
//!   [`service::Instance`] is one database and all that a process needs to work on it.

pub mod agent;
pub mod audit;
pub mod base_schema;
pub mod cli;
pub mod config;
pub mod console;
pub mod dev_server;
mod operations;
pub mod postgres;
mod provisioning;
mod queue;
mod schema;
pub mod service;
pub mod sql_text;
pub mod telemetry;
pub mod templates;
mod tokens;
mod worker;
