//! What is in `deploy/` agrees with the program: settings, time to stop, files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, iter};

use agent_provisioner::config::{self, Config, Databases};
use agent_provisioner::postgres::{SslMode, Target};
use agent_provisioner::telemetry::ErrorReport;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio_postgres::config::ChannelBinding;

use crate::support::{have, provisioner, said};

/// Keys of which the example shows a value that is not what happens without them.
const NO_DEFAULT: &str = "templates reference database.url database.url_file database.listen_url \
    database.listen_url_file database.sslmode database.sslrootcert deprovision.max_per_hour log.format tokens.keys_file \
    console.tokens_file console.database_url console.database_url_file";

pub fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

pub fn read(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap()
}

pub fn yaml(file: &str) -> Value {
    serde_saphyr::from_str(&read(file)).unwrap()
}

/// A directory of a test's own, gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = crate::support::temp_dir().join(format!("deploy-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// What the example sets; all its other keys are comments.
const SET: &str = "\nreference = \"check\"\n";

/// The section and the line of every key of the example.
fn keys(example: &str) -> Vec<(String, String)> {
    let (mut section, mut keys) = (String::new(), Vec::new());
    for line in example.lines() {
        if let Some(name) = line.strip_prefix('[') {
            name.trim_end_matches(']').clone_into(&mut section);
        } else if let line = line.trim_start_matches('#')
            && line.starts_with(|first: char| first.is_ascii_lowercase())
        {
            keys.push((section.clone(), line.to_owned()));
        }
    }
    keys
}

fn full_name(section: &str, line: &str) -> String {
    let key = line.split(' ').next().unwrap();
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

/// The keys of a section that the program knows: it lists them when it meets another.
pub fn known(section: &str) -> Vec<String> {
    let bogus = full_name(section, "bogus").replace('.', "__").to_uppercase();
    let error = config::load(None, [(format!("PROVISIONER_{bogus}"), "1".to_owned())]);
    let message = ErrorReport(&error.unwrap_err()).to_string();
    assert!(message.contains("expected"), "{message}");
    let (_, list) = message.split_once("expected").unwrap();
    let list = list.split(" for key").next().unwrap();
    let known = list.split('`').skip(1).step_by(2);
    known.filter(|key| *key != "grace").map(str::to_owned).collect() // an old name
}

#[test]
fn the_example_names_every_key_and_shows_its_default() {
    let example = read("deploy/config.example.toml");
    let keys = keys(&example);
    let scratch = Scratch::new("example");
    let load = |text: &str| {
        let file = scratch.write("one.toml", text);
        config::load(Some(&file), iter::empty::<(String, String)>()).map(Databases::into_first)
    };
    let shown = |config: &Config| format!("{config:?}");
    let default = shown(&Config::default());
    assert!(example.contains(SET));
    assert_ne!(shown(&load(&example).unwrap()), default);
    assert_eq!(shown(&load(&example.replace(SET, "\n")).unwrap()), default);
    for (section, line) in &keys {
        let name = full_name(section, line);
        let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
        let config = load(&format!("{header}{line}\n"));
        let config = config.unwrap_or_else(|error| panic!("{name}: {}", ErrorReport(&error)));
        let same = shown(&config) == default;
        assert_eq!(same, !NO_DEFAULT.split(' ').any(|key| key == name), "{name}: {config:?}");
    }
    let listed: BTreeSet<String> = keys.iter().map(|(s, line)| full_name(s, line)).collect();
    let top = known("");
    let (sections, plain): (Vec<_>, Vec<_>) =
        top.into_iter().partition(|name| example.contains(&format!("\n[{name}]\n")));
    let inner = sections
        .iter()
        .flat_map(|section| known(section).into_iter().map(move |key| format!("{section}.{key}")));
    assert_eq!(listed, inner.chain(plain).collect(), "left: the example, right: the program");
}

#[test]
fn the_program_takes_the_example_as_shipped_and_with_every_key_set() {
    let example = read("deploy/config.example.toml");
    let set = keys(&example).into_iter().fold(example.clone(), |text, (_, line)| {
        text.replacen(&format!("\n#{line}\n"), &format!("\n{line}\n"), 1)
    });
    assert_ne!(set, example);
    let scratch = Scratch::new("render");
    let files = [path("deploy/config.example.toml"), scratch.write("set.toml", &set)];
    for (file, templates) in files.iter().zip([None, Some(path("sql/agent"))]) {
        let mut command = provisioner("");
        command.env_clear().envs(templates.map(|path| ("PROVISIONER_TEMPLATES", path)));
        let render = command.arg("--config").arg(file).args(["render", "agt_6f78"]);
        let output = render.output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert!(said(&output).contains("agt_6f78_orders_items"));
    }
}

#[test]
fn who_supervises_the_service_waits_longer_than_it_needs_to_stop() {
    let needed = Config::default().worker.shutdown_timeout + Duration::from_secs(5);
    let unit = read("deploy/agent-provisioner.service");
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    let compose = yaml("deploy/compose.yaml");
    let compose = compose["services"]["provisioner"]["stop_grace_period"].as_str().unwrap();
    let pods = manifest("Deployment");
    let pod = pods["spec"]["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap();
    for seconds in [stop.parse().unwrap(), compose.trim_end_matches('s').parse().unwrap(), pod] {
        assert!(Duration::from_secs(seconds) > needed, "{seconds} s");
    }
}

fn manifest(kind: &str) -> Value {
    let all: Vec<Value> = serde_saphyr::from_multiple(&read("deploy/kubernetes.yaml")).unwrap();
    all.into_iter().find(|manifest| manifest["kind"] == kind).unwrap()
}

#[test]
fn the_pods_find_their_settings_and_their_secret() {
    let (settings, pods, job) = (manifest("ConfigMap"), manifest("Deployment"), manifest("Job"));
    let (name, text) = settings["data"].as_object().unwrap().iter().next().unwrap();
    let text = text.as_str().unwrap();
    let scratch = Scratch::new("pods");
    config::load(Some(&scratch.write(name, text)), iter::empty::<(String, String)>()).unwrap();

    let pod = &pods["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let mount = |volume: &str| {
        let mounts = container["volumeMounts"].as_array().unwrap();
        let mount = mounts.iter().find(|mount| mount["name"] == volume).unwrap();
        mount["mountPath"].as_str().unwrap()
    };
    let file = format!("{}/{name}", mount("config"));
    let variables = container["env"].as_array().unwrap();
    let named =
        |variable: &Value| variable["name"] == "PROVISIONER_CONFIG" && variable["value"] == *file;
    assert!(variables.iter().any(named), "{file}");
    let url = format!("{}/database_url", mount("secret"));
    assert!(text.contains(&format!("url_file = \"{url}\"")), "{url}");
    let migrates = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(migrates["env"][0]["value"], *url);
    assert_eq!(migrates["image"], container["image"]);
    let checksum = &pods["spec"]["template"]["metadata"]["annotations"];
    let digest = Sha256::digest(text);
    let hex = digest.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    assert_eq!(checksum["agent-provisioner/config-checksum"], *hex);

    let labels = &pods["spec"]["template"]["metadata"]["labels"];
    for selector in
        [&pods["spec"]["selector"], &manifest("PodDisruptionBudget")["spec"]["selector"]]
    {
        assert_eq!(&selector["matchLabels"], labels);
    }
    assert_eq!(&manifest("Service")["spec"]["selector"], labels);
}

#[test]
fn examples_of_direct_connections_bind_the_password_to_the_channel() {
    let mut examples = 0;
    for file in ["deploy/config.example.toml", "deploy/kubernetes.yaml"] {
        let text = read(file);
        let words = text.split([' ', '"', '\n']).filter(|word| word.starts_with("postgres://"));
        for url in words {
            let url = url.replace("[YOUR-PASSWORD]", "secret");
            let target = Target::parse(&url, None, None).unwrap();
            assert_eq!(target.sslmode, SslMode::VerifyFull, "{url}");
            assert_eq!(target.config.get_channel_binding(), ChannelBinding::Require, "{url}");
            examples += 1;
        }
    }
    assert_eq!(examples, 4);
}

#[test]
fn nobody_else_can_read_the_secrets() {
    let pods = read("deploy/kubernetes.yaml");
    assert!(pods.contains("secret: {secretName: agent-provisioner, defaultMode: 0400}"));
    let compose = read("deploy/compose.yaml");
    for mount in ["admin", "worker"] {
        let closes = format!("chmod 0400 /run/{mount}/database_url");
        assert!(compose.contains(&closes), "{mount}");
    }
    let image = read("deploy/Dockerfile");
    let user = image.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(compose.contains(&format!("chown {user} ")), "{user} reads them");
}

/// Whether a program is content, and what it says. `None` if the test is to end without it.
pub fn tool(name: &str, args: &[&str]) -> Option<(bool, String)> {
    if !have(&[name]) {
        return None;
    }
    let output = Command::new(name).args(args).output().unwrap();
    Some((output.status.success(), said(&output)))
}

#[test]
fn systemd_finds_the_unit_sound_and_hardened() {
    let unit = path("deploy/agent-provisioner.service");
    let args = ["security", "--offline=true", "--threshold=20", unit.to_str().unwrap()];
    let Some((sound, report)) = tool("systemd-analyze", &args) else { return };
    assert!(sound, "{report}");

    let text = read("deploy/agent-provisioner.service");
    // Found in /usr/local/bin and in /usr/bin, where the package puts it.
    let installed = "ExecStart=agent-provisioner ";
    assert!(text.contains(installed));
    let scratch = Scratch::new("unit");
    let here = format!("ExecStart={} ", env!("CARGO_BIN_EXE_agent-provisioner"));
    let here = text.replace(installed, &here);
    let here = scratch.write("agent-provisioner.service", &here);
    let (_, report) = tool("systemd-analyze", &["verify", here.to_str().unwrap()]).unwrap();
    assert!(!report.contains("agent-provisioner"), "{report}");
}

/// The files below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn the_image_is_built_from_every_file_that_the_program_embeds() {
    let (dockerfile, ignore) = (read("deploy/Dockerfile"), read(".dockerignore"));
    let mut copied = Vec::new();
    for line in dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let mut words: Vec<&str> = line.split(' ').filter(|word| !word.starts_with("--")).collect();
        words.pop(); // where to
        copied.extend(words.into_iter().filter(|word| !word.starts_with('/')));
    }
    for path in &copied {
        assert!(ignore.lines().any(|line| line == format!("!{path}")), "{path} is not sent");
    }
    let mut embedded = 0;
    for source in files(&path("src")) {
        let text = fs::read_to_string(&source).unwrap();
        for rest in text.split("include_str!(\"").skip(1) {
            let file = source.parent().unwrap().join(rest.split('"').next().unwrap());
            let file = file.canonicalize().unwrap();
            let sent = copied.iter().any(|at| file.starts_with(path(at).canonicalize().unwrap()));
            assert!(sent, "{} embeds {}", source.display(), file.display());
            embedded += 1;
        }
    }
    assert!(embedded > 5);
}
