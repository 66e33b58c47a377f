//! All tests that need a real server, as one program: one build, one PostgreSQL for all.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "a test that cannot go on has failed"
)]

mod support;


mod provision;
