//! A command of the program, run to its end.

use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::thread;

use serde_json::Value;

use super::{provisioner, said, until};

/// Runs `agent-provisioner …`; one that never ends fails the test.
pub async fn ask(url: &str, args: &[&str]) -> Output {
    finish(provisioner(url).env("USER", "ada").args(args)).await
}

/// Runs a command to its end.
pub async fn finish(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = read(child.stdout.take().unwrap());
    let stderr = read(child.stderr.take().unwrap());
    let child = Mutex::new(child);
    let ended = || async { child.lock().unwrap().try_wait().unwrap() };
    let status = until("the command to end", ended).await;
    Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

fn read(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Checks how a command ended and what it said.
#[track_caller]
pub fn expect(output: &Output, code: i32, texts: &[&str]) {
    // A service logs JSON.
    let said = said(output).replace("\\\"", "\"");
    assert_eq!(output.status.code(), Some(code), "{said}");
    for text in texts {
        assert!(said.contains(text), "{text:?} is not in: {said}");
    }
}

/// Checks that `agents verify --json` compared so many agents, and found each as it should be.
#[track_caller]
pub fn sound(verified: &Output, agents: u64) {
    expect(verified, 0, &[]);
    let report = json(verified);
    let found = (report.get("checked"), report.get("drifted"));
    assert_eq!(found, (Some(&agents.into()), Some(&Value::Array([].into()))), "{report}");
}

/// What a command printed, which is one JSON value.
#[track_caller]
pub fn json(output: &Output) -> Value {
    let parsed = serde_json::from_slice(&output.stdout);
    assert!(parsed.is_ok(), "{}", said(output));
    parsed.unwrap()
}

/// What `doctor` finds that is not as it should be: severity, what, found, fix.
pub async fn findings(url: &str) -> Vec<[String; 4]> {
    let output = ask(url, &["doctor", "--json"]).await;
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    let findings = json(&output);
    let findings = findings.as_array().unwrap().iter();
    let bad = findings.filter(|finding| finding["severity"] != "ok");
    bad.map(|finding| ["severity", "what", "found", "fix"].map(|key| text(finding, key))).collect()
}

/// The statement at the end of a fix.
#[track_caller]
pub fn statement(fix: &str) -> &str {
    let found = fix.rsplit_once(": ");
    assert!(found.is_some(), "no statement in: {fix}");
    found.unwrap().1
}
