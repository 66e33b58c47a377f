//! What the tests stand on: a real server, a database each, the real program, and patience.

mod admin;
mod audit;
mod browser;
mod caller;
mod clock;
mod command;
mod database;
mod disk;
mod files;
mod gate;
mod impostor;
mod pooler;
mod portrait;
mod proxy;
mod service;
mod standby;
mod supabase;
mod tools;
mod wait;
mod watchdog;
mod wire;

pub use admin::Admin;
pub use audit::{Audit, Findings};
pub use browser::Browser;
pub use caller::{ADA, Answer, BEN, BOSS, CALLERS, CAT, Caller, DAN, begin, user};
pub use clock::Clock;
pub use command::{ask, expect, findings, finish, json, sound, statement};
pub use database::{ADMIN, AUTHENTICATOR, CONSOLE, Database, ROLES, Server, WORKER};
pub use disk::{FULL_DISK, SmallDisk};
pub use files::Files;
pub use gate::{Gates, Stop};
pub use impostor::Impostor;
pub use pooler::{Pooler, SHARED};
pub use portrait::{Order, distinct_ids, portraits};
pub use proxy::Proxy;
pub use service::{Service, get, on_terminal, provisioner, said};
pub use standby::{Standby, make_standby};
pub use supabase::{PASSWORD, PUBLISHABLE, Page, SECRET, Supabase};
pub use tools::{
    SWITCH, axe, have, have_plpgsql_check, other_release, pg_dump_can, restored, skip, supabase_js,
    typescript,
};
pub use wait::until;
pub use watchdog::temp_dir;
pub use wire::{Break, Length, Point, Way, Wire};
