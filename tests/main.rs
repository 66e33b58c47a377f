//! All tests that need a real server, as one program: one build, one PostgreSQL for all.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test that cannot go on has failed, and says why"
)]

mod support;

mod absence;
mod adopt;
mod adopt_again;
mod adopt_hostile;
mod agent_states;
mod agents;
mod audit;
mod auth_users;
mod base_schema;
mod boundaries;
mod businesses;
mod chaos;
mod cli;
mod clock;
mod concurrently;
mod console;
mod constructs;
mod convert;
mod deletion;
mod deletion_limit;
mod deploy;
mod dev;
mod docs;
mod doctor;
mod doctor_accept;
mod drift;
mod example;
mod failover;
mod faults;
mod filters;
mod forged;
mod functions;
mod generator;
mod halfopen;
mod history;
mod hostile;
mod http;
mod infinity;
mod instances;
mod jobs;
mod keys;
mod leaks;
mod least_privilege;
mod leftovers;
mod lints;
mod load;
mod loader;
mod locks;
mod logs;
mod migrations;
mod monitoring;
mod notifications;
mod ownership;
mod panics;
mod partitions;
mod policies;
mod poolers;
mod provision;
mod public_schema;
mod queue;
mod references;
mod refusals;
mod renamed;
mod repair;
mod repair_confirmed;
mod repair_tables;
mod replay;
mod requests;
mod resources;
mod restore;
mod rollouts;
mod rotation;
mod schemas;
mod secrets;
mod settings;
mod signals;
mod strangers;
mod systemd;
mod templates;
mod temporary_schema;
mod terminal;
mod tls;
mod tools;
mod totals;
mod trash;
mod troubles;
mod troubles_of_locks;
mod troubles_of_names;
mod troubles_of_the_database;
mod troubles_of_the_server;
mod undo;
mod upgrade;
mod verify;
mod versions;
mod waiting;
