//! A test whose program is missing fails, unless the switch allows it.

use std::env;
use std::process::{Command, Output};

use crate::deploy::path;
use crate::support::{SWITCH, said};

/// Needs systemd-analyze.
const NEEDY: &str = "deploy::systemd_finds_the_unit_sound_and_hardened";

/// A test of this program, with nothing on the PATH.
fn bare(switch: &str) -> Output {
    let mut tests = Command::new(env::current_exe().unwrap());
    tests.args(["--exact", NEEDY]).env("PATH", "/nonexistent").env(SWITCH, switch);
    tests.output().unwrap()
}

#[test]
fn a_missing_program_fails_its_test_unless_the_switch_says_1() {
    for switch in ["", "0"] {
        let failed = bare(switch);
        assert_eq!(failed.status.code(), Some(101), "{}", said(&failed));
        assert!(said(&failed).contains("systemd-analyze is not installed"), "{}", said(&failed));
    }
    let skipped = bare("1");
    assert_eq!(skipped.status.code(), Some(0), "{}", said(&skipped));
    let line = format!("skipped {NEEDY}: systemd-analyze");
    assert!(said(&skipped).contains(&line), "{}", said(&skipped));
}

#[test]
fn the_scripts_obey_the_same_switch() {
    let script =
        ". deploy/postgresql.sh; want no-such-tool no-such-package; command -v need_server";
    let mut bash = Command::new("bash");
    bash.args(["-euc", script]).current_dir(path("")).env(SWITCH, "1");
    let done = bash.output().unwrap();
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    assert!(said(&done).contains("Missing: no-such-tool"), "{}", said(&done));
}

#[test]
fn the_checks_refuse_arguments_that_they_do_not_know() {
    for arguments in [&["--ful"][..], &["--full", "x"], &["15"]] {
        let mut bash = Command::new("bash");
        bash.arg(path(".ci/run")).args(arguments);
        // Without cargo they would fail, and not begin, if they did not refuse.
        bash.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/nonexistent");
        let done = bash.output().unwrap();
        assert_eq!(done.status.code(), Some(2), "{}", said(&done));
        assert!(said(&done).contains("[--full]"), "{}", said(&done));
    }
}
