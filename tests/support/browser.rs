//! A real browser, driven as its users drive it.

use std::fs;
use std::iter;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;

use super::{temp_dir, until};

/// Ends the driver and its browser when its own input ends: with the test, however that ends.
const GUARD: &str =
    r#""$0" --port="$1" --silent & read -r _; kill -TERM $!; sleep 0.2; kill -KILL 0"#;

/// Offline, and without what a container does not have.
const ARGUMENTS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1280,900",
];

/// One window; ends when dropped.
pub struct Browser {
    guard: Child,
    pub window: Client,
}

impl Browser {
    pub async fn new() -> Self {
        Self::with(json!({})).await
    }

    /// That runs no script.
    pub async fn without_scripts() -> Self {
        Self::with(json!({ "prefs": { "profile.managed_default_content_settings.javascript": 2 } }))
            .await
    }

    /// As wide as a small telephone.
    pub async fn small() -> Self {
        let metrics = json!({ "width": 360, "height": 740, "pixelRatio": 1.0 });
        Self::with(json!({ "mobileEmulation": { "deviceMetrics": metrics } })).await
    }

    /// Whose user likes dark colours.
    pub async fn dark() -> Self {
        Self::with(
            json!({ "args": ["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] }),
        )
        .await
    }

    async fn with(options: serde_json::Value) -> Self {
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port);
        let port = iter::repeat_with(|| fastrand::u16(20_000..32_000)).find_map(free).unwrap();
        // A short name: the path of a socket below it must not be longer than 107 bytes.
        let profile = temp_dir().join(format!("b{port}"));
        fs::create_dir(&profile).unwrap();
        let mut sh = Command::new("sh");
        sh.args(["-c", GUARD, "chromedriver", &port.to_string()]).process_group(0);
        sh.env("HOME", &profile).env("TMPDIR", &profile).current_dir("/");
        sh.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let guard = sh.spawn().unwrap();
        until("the driver", || async { TcpStream::connect(("127.0.0.1", port)).ok() }).await;
        let mut chrome = options.as_object().unwrap().clone();
        let mut arguments: Vec<String> =
            ARGUMENTS.iter().map(|&argument| argument.to_owned()).collect();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        let more = chrome.get("args").and_then(serde_json::Value::as_array).cloned();
        arguments.extend(more.iter().flatten().filter_map(|it| it.as_str().map(str::to_owned)));
        chrome.insert("args".to_owned(), json!(arguments));
        let wanted = json!({ "goog:chromeOptions": chrome }).as_object().unwrap().clone();
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let driver = format!("http://127.0.0.1:{port}");
        let window = builder.capabilities(wanted).connect(&driver).await.unwrap();
        Self { guard, window }
    }

    pub async fn go(&self, url: &str) {
        self.window.goto(url).await.unwrap();
    }

    /// What is shown of the first element that a CSS selector finds; empty where there is none.
    pub async fn text(&self, selector: &str) -> String {
        match self.window.find(Locator::Css(selector)).await {
            Ok(element) => element.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        }
    }

    /// Waits until it shows a text.
    #[track_caller]
    pub fn shows<'a>(&'a self, selector: &'a str, text: &'a str) -> impl Future<Output = ()> + 'a {
        until(text, move || async move { self.text(selector).await.contains(text).then_some(()) })
    }

    pub async fn click(&self, selector: &str) {
        self.window.find(Locator::Css(selector)).await.unwrap().click().await.unwrap();
    }

    pub async fn fill(&self, selector: &str, text: &str) {
        self.window.find(Locator::Css(selector)).await.unwrap().send_keys(text).await.unwrap();
    }

    /// What it looks like, as a PNG.
    pub async fn picture(&self) -> Vec<u8> {
        self.window.screenshot().await.unwrap()
    }

    /// What a script calls back with.
    pub async fn answer(&self, script: &str) -> serde_json::Value {
        self.window.execute_async(script, Vec::new()).await.unwrap()
    }

    /// Barriers of the page that are serious or critical, by axe-core.
    pub async fn barriers(&self, axe: &str) -> serde_json::Value {
        let look = "const done = arguments[arguments.length - 1];
             axe.run({ resultTypes: ['violations'] }).then(found => done(found.violations
                 .filter(it => ['serious', 'critical'].includes(it.impact))
                 .map(it => it.id + ': ' + it.nodes.map(node => node.html + ' ' + node.failureSummary).join('; '))))";
        self.answer(&format!("{axe}; {look}")).await
    }

    /// How much wider than its window the page is.
    pub async fn overhang(&self) -> i64 {
        let wide = self.value("document.documentElement.scrollWidth - innerWidth").await;
        wide.as_i64().unwrap()
    }

    /// How many things one may click or fill say neither to whom nor what for.
    pub async fn nameless(&self) -> serde_json::Value {
        self.value(
            "[...document.querySelectorAll('a, button, input:not([type=hidden]), select, textarea')]
                .filter(e => !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).length",
        )
        .await
    }

    /// What an expression of JavaScript comes to.
    pub async fn value(&self, expression: &str) -> serde_json::Value {
        self.window.execute(&format!("return {expression}"), Vec::new()).await.unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Waiting closes the guard's input.
        self.guard.wait().ok();
    }
}
