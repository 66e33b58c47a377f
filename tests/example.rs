//! deploy/example, in a browser, on a stand-in for Supabase's API and the real service.

mod codes;
mod page;
mod panel;
mod path;
mod refusals;
mod sessions;
mod waiting;

use std::collections::BTreeMap;

use fantoccini::Locator;

use crate::deploy::{path, read};
use crate::support::{
    Admin, BOSS, Browser, Database, PASSWORD, PUBLISHABLE, Page, Supabase, have, supabase_js,
};

/// A project with the page, and a browser that shows it.
pub struct Example {
    pub db: Database,
    pub admin: Admin,
    pub api: Supabase,
    pub browser: Browser,
}

impl Example {
    /// With the people of a small CRM, in a browser of this kind. `None` if the test is to end without it.
    async fn new(browser: impl AsyncFnOnce() -> Browser) -> Option<Self> {
        let library = supabase_js().filter(|_| have(&["chromium", "chromedriver"]))?;
        let db = Database::new().await;
        let admin = db.admin().await;
        admin.populate().await;
        let api = Supabase::start(&db, |url| page(url, library)).await;
        let browser = browser().await;
        browser.go(&api.url).await;
        Some(Self { db, admin, api, browser })
    }

    async fn sign_in(&self, name: &str) {
        self.browser.fill("#sign-in [name=email]", &format!("{name}@example.com")).await;
        self.browser.fill("#sign-in [name=password]", PASSWORD).await;
        self.browser.click("#sign-in button").await;
        self.browser.shows("#who", name).await;
    }

    /// Asks for an agent; an empty prefix is drawn.
    async fn create(&self, user: &str, prefix: &str) {
        self.set("#create [name=email]", &format!("{user}@example.com")).await;
        self.set("#create [name=prefix]", prefix).await;
        self.browser.click("#create button").await;
    }

    /// Puts a value in the place of what a field has.
    async fn set(&self, selector: &str, text: &str) {
        let field = self.browser.window.find(Locator::Css(selector)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    async fn choose(&self, prefix: &str) {
        self.pick(prefix).await;
        self.browser.shows("#prefix", prefix).await;
    }

    /// Chooses it, and does not wait until it is shown.
    async fn pick(&self, prefix: &str) {
        self.browser.shows("#agents", prefix).await;
        let option = format!("//select[@id='agents']/option[starts-with(., '{prefix}')]");
        self.browser.window.find(Locator::XPath(&option)).await.unwrap().click().await.unwrap();
    }

    /// Five minutes pass: the slow looks are over.
    async fn pass(&self) {
        let later =
            "(window.before = Date.now, Date.now = () => before.call(Date) + 5 * 60000, true)";
        self.browser.value(later).await;
    }

    async fn delete(&self) {
        self.browser.click("#delete summary").await;
        self.browser.click("#delete button").await;
    }

    async fn notice(&self, code: &str) {
        self.browser.shows("#notice", &format!("({code})")).await;
    }
}

/// As its README says: the library beside it, two values in config.js, and the policy as a header.
fn page(url: &str, library: String) -> Page {
    let fill = |text: String| {
        let socket = url.replace("http:", "ws:");
        text.replace("wss://YOUR-PROJECT.supabase.co", &socket)
            .replace("https://YOUR-PROJECT.supabase.co", url)
            .replace("YOUR-PUBLISHABLE-KEY", PUBLISHABLE)
    };
    let files = ["index.html", "app.js", "agents.js", "config.js", "style.css"];
    let shipped =
        files.map(|name| (name.to_owned(), fill(read(&format!("deploy/example/{name}")))));
    let mut files = BTreeMap::from(shipped);
    files.insert("supabase.js".to_owned(), library);
    let readme = read("deploy/example/README.md");
    let policy =
        readme.lines().find_map(|line| line.trim().strip_prefix("Content-Security-Policy: "));
    Page { files, policy: fill(policy.unwrap().to_owned()) }
}

#[test]
fn the_readme_names_every_file() {
    let readme = read("deploy/example/README.md");
    for file in path("deploy/example").read_dir().unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(name == "README.md" || readme.contains(&format!("`{name}`")), "{name}");
    }
}

/// Who the admin of all tests is.
const ADMIN: &str = BOSS.name;
