//! The real program, as an operator starts it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::until;
use super::watchdog::watched;

/// The program with a clean environment, so that nothing of the tester's settings leaks in.
pub fn provisioner(url: &str) -> Command {
    let mut command = watched();
    command.env("DATABASE_URL", url).stdin(Stdio::null());
    command.env("PROVISIONER_CONFIG", "/dev/null"); // and nothing of an installation's
    command.env("PROVISIONER_HTTP__LISTEN", "127.0.0.1:0"); // many at a time
    command
}

/// A command line of the program on a terminal of its own, by util-linux' `script`, which ends as the program does.
pub fn on_terminal(url: &str, args: &str) -> Command {
    let program = provisioner(url);
    let mut script = Command::new("script");
    script.env_clear().envs(program.get_envs().filter_map(|(key, value)| Some((key, value?))));
    script.env("PATH", "/usr/bin:/bin").env("SHELL", "/bin/sh").env("TERM", "xterm");
    let line = format!("stty -echo; exec {} {args}", program.get_program().to_str().unwrap());
    script.args(["-qec", &line, "/dev/null"]);
    script
}

/// A running service; killed when dropped.
pub struct Service {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    /// Ends with the log.
    reader: JoinHandle<()>,
}

impl Service {
    /// `agent-provisioner run`; settings are environment variables without `PROVISIONER_`.
    pub fn start(url: &str, settings: &[(&str, &str)]) -> Self {
        Self::with(|command| {
            command.env("DATABASE_URL", url);
            for (key, value) in settings {
                command.env(format!("PROVISIONER_{key}"), value);
            }
        })
    }

    /// `agent-provisioner run` in an environment of the caller's making.
    pub fn with(prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = provisioner("");
        prepare(&mut command);
        let mut child = command.arg("run").stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let written = Arc::clone(&log);
        let reader = thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| written.lock().unwrap().push(line));
        });
        Self { child, log, reader }
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// Waits for a log line that contains this.
    #[track_caller]
    pub fn logged<'a>(&'a self, text: &'a str) -> impl Future<Output = ()> + 'a {
        until(text, move || async move { self.log().contains(text).then_some(()) })
    }

    /// Waits until it works, or has refused to: then what it said.
    pub async fn started(&self) -> Result<(), String> {
        let (log, reader) = (&self.log, &self.reader);
        let text = || log.lock().unwrap().join("\n");
        let ended = until("the service to run or to end", || async {
            let ended = reader.is_finished();
            (ended || text().contains("running")).then_some(ended)
        });
        if ended.await { Err(text()) } else { Ok(()) }
    }

    /// Where it answers probes and Prometheus.
    pub async fn http(&self) -> String {
        let mark = "\"serving HTTP\",\"address\":\"";
        self.logged(mark).await;
        self.log().split(mark).nth(1).unwrap().split('"').next().unwrap().to_owned()
    }

    /// Of its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends signals by their names, one right after the other.
    pub fn signal(&self, names: &str) {
        let kill = r#"for name in $1; do kill "-$name" "$2"; done"#;
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", kill, "sh", names, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end, and the log's.
    pub async fn ended(&mut self) -> ExitStatus {
        let (child, reader) = (Mutex::new(&mut self.child), &self.reader);
        until("the service to end", || async {
            let ended = child.lock().unwrap().try_wait().unwrap();
            ended.filter(|_| reader.is_finished())
        })
        .await
    }

    /// Ends it as a system does, so that it is no instance any more. One that is killed is taken for one for half a minute.
    pub async fn stop(mut self) {
        self.signal("TERM");
        assert!(self.ended().await.success(), "{}", self.log());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if thread::panicking() {
            eprintln!("the service said:\n{}", self.log());
        }
    }
}

/// Status and body; 0 where nobody answers within half a minute.
pub fn get(address: &str, path: &str) -> (u16, String) {
    let Ok(mut stream) = TcpStream::connect(address) else { return (0, String::new()) };
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    if stream.read_to_string(&mut answer).is_err() {
        return (0, answer);
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// What a finished command said, both streams.
pub fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}
