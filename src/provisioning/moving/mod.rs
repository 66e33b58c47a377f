//! An agent that goes from one database, the source, to another, the target: what is done on each side.
//!
//! # States
//!
//! Each side has a row of `provisioning.moves` with the same id. Both sides cannot commit at once, so the source decides:
//!
//! | source | target | who takes writes | what the next run does |
//! |---|---|---|---|
//! | begun | no row | source | reserves prefix and id |
//! | begun | begun | source | drops what is built, builds anew |
//! | begun | copied | source | the same: the copy may be old by now |
//! | `handed_over` | copied | nobody | the target takes over |
//! | `handed_over` | done | target | approves the deletion on the source |
//! | done | done | target | nothing |
//! | begun | aborted | source | ends the move, and begins another |
//! | `handed_over` | aborted | nobody | says that `--abort` was broken off |
//! | aborted | aborted | source | begins another |
//!
//! - The source's transaction locks its tables against writers before the first row is copied, and keeps them locked until
//!   it commits `handed_over`. So no write is between the copy and the hand-over.
//! - The target commits `copied` before that. So what was handed over is there.
//! - `handed_over` names the copy. The target takes over that copy and no other.
//! - Of two runs one has the row of the source locked, from the lock of the tables to the hand-over.
//! - Between the hand-over and the commit of the target nobody takes writes. The source refuses them by a trigger, its
//!   rows can be read, and its deletion waits as a paused job. If the program dies there, the next run goes on.
//!
//! A copy, after which both sides serve an agent of that prefix, has a row on the target only: begun, then done. The source is
//! read in one snapshot, and notes nothing.
//!
//! Before it takes over, the target has the tables and nothing else of the agent: no row in `agents`, no registration, no
//! privilege for anybody but the owner. Triggers of the tables do not run for the copy.

mod layout;
mod record;
mod source;
mod target;

pub(crate) use layout::{Differing, TableLayout, differences, read as read_layout};
pub(crate) use record::{Move, MoveState};
pub(crate) use source::{
    Carried, Leaving, approve, hand_over, holders, lock_of_readers, lock_rows, lock_tables,
    open_jobs, reopen, take_back,
};
pub(crate) use target::{
    Coming, Obstacle, abort, build_for, complete, copied, empty, obstacles, rehearse, reserve,
    take_over,
};
