//! Builds, keeps and drops each agent's tables in a WhatsApp CRM on Supabase or PostgreSQL.
//!
//! An admin's INSERT into `agents` writes, by a trigger and in the same transaction, a row of
//! `provisioning.jobs` and a notification. Everything else happens here, in a worker:
//!
//! ```text
//! agents ──trigger──▶ provisioning.jobs ──NOTIFY──▶ db::Listener ──▶ jobs::Wake
//!    ▲                       ▲  │                                        │
//!    │                       │  └────────── claim, SKIP LOCKED ──▶ jobs::Worker ──▶ agent
//!    └── jobs::Reconcile ────┘                                      one transaction per agent
//! ```
//!
//! - The job's row is locked by the very transaction that builds or drops the agent's tables and
//!   records the outcome: the effect and its record commit together. A worker that dies leaves
//!   neither; its job is free as soon as its connection is gone.
//! - A notification is a hint. Workers also look at intervals, and `jobs::Reconcile` compares what
//!   is with what should be, so a lost notification or a disabled trigger costs time and no agent.
//! - What a failure leads to is decided by its SQLSTATE alone, in [`retry_policy`].
//! - Names of tables come from a parsed [`agent::Prefix`]; values are bind parameters.
//!
//! Arrows point downwards only: [`cli`] and [`service`] see everything; [`http`] and [`systemd`] show
//! what [`metrics`] knows; [`instances`] compares configurations; [`jobs`] uses [`agent`] and [`db`], and tells [`metrics`]; [`fleet`] looks at
//! all agents at once; [`agent`] knows nothing of jobs; [`cluster`] (a throwaway server for `dev` and the tests) knows nothing at all.

pub mod agent;
mod backoff;
mod checksum;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod db;
pub mod doctor;
pub mod error;
pub mod fleet;
pub mod http;
pub mod instances;
pub mod jobs;
pub mod metrics;
mod panics;
pub mod printable;
pub mod pulse;
pub mod retry_policy;
pub mod service;
pub mod shutdown;
pub mod survey;
pub mod systemd;
pub mod telemetry;
