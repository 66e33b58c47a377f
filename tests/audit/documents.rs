//! What documents say of tables, against a real catalog.

use std::collections::BTreeSet;

use agent_provisioner::audit::documents::{self, Outcome};
use agent_provisioner::audit::{AgentTables, Relations};
use agent_provisioner::templates::Templates;
use tokio::sync::OnceCell;

use crate::deploy::{path, read};
use crate::support::{ADMIN, Database, Files, WORKER};

/// The product's own schema, and one more table.
async fn known() -> &'static (Relations, AgentTables) {
    static KNOWN: OnceCell<(Relations, AgentTables)> = OnceCell::const_new();
    KNOWN.get_or_init(async || read_with("").await).await
}

async fn read_with(sql: &str) -> (Relations, AgentTables) {
    let db = Database::new().await;
    db.connect(ADMIN).await.batch_execute(sql).await.unwrap();
    let mut worker = db.connect(WORKER).await;
    let agents = AgentTables::render(&mut worker, &Templates::builtin().unwrap()).await.unwrap();
    (Relations::read(&worker).await.unwrap(), agents)
}

/// `kind object line`
fn shown(outcome: &Outcome) -> Vec<String> {
    let findings = outcome.findings.iter().map(|finding| {
        let line = finding.place.as_ref().map_or_else(|| "-".to_owned(), |at| at.line.to_string());
        format!("{} {} {line}", finding.kind, finding.object)
    });
    findings.collect()
}

fn audit((relations, agents): &(Relations, AgentTables), text: &str) -> Vec<String> {
    let files = Files::new(&[("a.md", text)]);
    let document = format!("{}/a.md", files.path()).into();
    shown(&documents::audit(&[document], relations, agents, &BTreeSet::new()).unwrap())
}

#[tokio::test]
async fn the_products_own_document_is_right() {
    let (relations, agents) = known().await;
    let outcome =
        documents::audit(&[path("docs/schema.md")], relations, agents, &BTreeSet::new()).unwrap();
    assert_eq!(shown(&outcome), [""; 0]);
}

#[tokio::test]
async fn a_document_that_is_not_utf_8_is_not_checked() {
    let (relations, agents) = known().await;
    let files = Files::new(&[]);
    let document = format!("{}/a.md", files.path());
    std::fs::write(&document, b"# \xff").unwrap();
    let outcome = documents::audit(&[document.clone().into()], relations, agents, &BTreeSet::new());
    let outcome = outcome.unwrap();
    assert_eq!(shown(&outcome), [""; 0]);
    assert!(outcome.unchecked.len() == 1 && outcome.unchecked[0].contains(&document));
}

/// The line of a text, from 1.
fn line_of(text: &str, part: &str) -> usize {
    text.lines().position(|line| line.contains(part)).unwrap() + 1
}

/// What stands in docs/schema.md, what is put in its place, and what is found.
const FAULTS: [(&str, &str, &str); 12] = [
    (
        "| `email` | `character varying(255)`",
        "| `email` | `text`",
        "document_type public.users.email",
    ),
    (
        "| `name` | `character varying(255)` | no",
        "| `name` | `character varying(255)` | yes",
        "document_null public.users.name",
    ),
    (
        "| `role` | `role` | no | `'agent'`",
        "| `role` | `role` | no | `'admin'`",
        "document_default public.users.role",
    ),
    ("| `role` | `role` |", "| `role` | `mood` |", "document_type public.users.role"),
    (
        "| `webhook_url` | `text` | no |  |",
        "| `webhook_url` | `text` | no | `''` |",
        "document_default public.whatsapp_configuration.webhook_url",
    ),
    (
        "| `verify_token` | `text` | yes |  |  |",
        "| `verify_token` | `text` | yes |  | unique |",
        "document_constraint public.whatsapp_configuration.verify_token unique",
    ),
    (
        "| `notes` | `text` | yes |  |  |",
        "| `notes` | `text` | yes |  | indexed |",
        "document_constraint public.{prefix}_orders.notes indexed",
    ),
    (
        "| `api_key` | `text`",
        "| `apikey` | `text`",
        "document_unknown_column public.whatsapp_configuration.apikey",
    ),
    ("### agents", "### clients", "document_unknown_table public.clients"),
    ("### {prefix}_messages", "### {prefix}_mails", "document_unknown_table public.{prefix}_mails"),
    ("on delete set null", "on delete cascade", "document_foreign_key public.agents.user_id"),
    (
        "refers to `{prefix}_orders (id)`",
        "refers to `{prefix}_messages (id)`",
        "document_foreign_key public.{prefix}_orders_items.order_id",
    ),
];

#[tokio::test]
async fn each_fault_that_is_planted_in_it_is_one_finding() {
    let text = read("docs/schema.md");
    for (old, new, expected) in FAULTS {
        let planted = text.replacen(old, new, 1);
        assert_ne!(planted, text, "{old}");
        let found = audit(known().await, &planted);
        let found: Vec<&String> =
            found.iter().filter(|it| !it.starts_with("undocumented")).collect();
        let said = found.iter().filter(|it| it.starts_with(expected)).count();
        // Two columns stand in the sentence about agents.
        assert!(
            said == 1 && found.len() <= if expected.contains("agents.user_id") { 2 } else { 1 },
            "{found:?}"
        );
    }
}

#[tokio::test]
async fn what_is_there_and_not_documented_is_found() {
    let text = read("docs/schema.md");
    let line = line_of(&text, "| `api_key` | `text`");
    let lines: Vec<&str> = text.lines().filter(|it| !it.starts_with("| `api_key`")).collect();
    let without = lines.join("\n");
    let first =
        line_of(&without, "| `id` | `bigint` | no | the next id | not written through the API |");
    assert!(first < line);
    assert_eq!(
        audit(known().await, &without),
        [format!("undocumented_column public.whatsapp_configuration.api_key {first}")]
    );
    let more = read_with("create table public.invoices (id int)").await;
    assert_eq!(audit(&more, &text), ["undocumented_table public.invoices -"]);
}

#[tokio::test]
async fn people_write_tables_in_many_ways() {
    let known = read_with(
        "create table public.people (id uuid primary key, mail varchar(80) unique, age int not null default 3, at timestamptz default now());
         create table public.pets (id bigserial primary key, owner uuid references public.people, tags text[])",
    )
    .await;
    let fine = "# Database tables\n\n- `people`: who we know\n- **pets**\n- `users`, `agents`, `agent_states`, `whatsapp_configuration`, `businesses`, `user_businesses`, `business_invitations`, `meta_apps`, `whatsapp_numbers` and others\n\n\
        ## Table: people\n\n| Field | Type | Nullable | Default | Constraints |\n|---|---|---|---|---|\n\
        | id | UUID | NO | - | PRIMARY KEY |\n| mail | VARCHAR(80) | YES | - | UNIQUE |\n\
        | age | INT NOT NULL | no | 3 | |\n| at | timestamptz | yes | NOW() | |\n\n\
        ## The `pets` table\n\n| Column | Type | Description |\n|---|---|---|\n\
        | `id` | BIGSERIAL PRIMARY KEY | the key |\n| `owner` | uuid | unique in spirit |\n| `tags` | text[] | |\n\n\
        `owner` references `people (id)`.\n\n\
        ## Request\n\n| name | type |\n|---|---|\n| limit | number |\n\n\
        ## Answer\n\n| name | type | required |\n|---|---|---|\n| rows | array | yes |\n";
    assert_eq!(audit(&known, fine), [""; 0]);
    let cases = [
        (
            "| Constraints |\n|---|---|---|---|---|\n| id | UUID | NO | - | PRIMARY KEY",
            "| Constraints |\n|---|---|---|---|---|\n| id | UUID | NO | - | PRIMARY KEY, UNIQUE",
            None,
        ),
        (
            "UNIQUE |",
            "UNIQUE NOT NULL |",
            Some("document_constraint public.people.mail not null 12"),
        ),
        ("INT NOT NULL", "BIGINT NOT NULL", Some("document_type public.people.age 13")),
        ("text[]", "text", Some("document_type public.pets.tags 22")),
        ("text[]", "varchar[]", None),
        ("VARCHAR(80)", "character varying(80)", None),
        ("VARCHAR(80)", "text", Some("document_type public.people.mail 12")),
        ("INT NOT NULL", "int4 NOT NULL", None),
        ("timestamptz", "timestamp with time zone", None),
        ("- **pets**", "- **pets**\n- `toys`: gone", Some("document_unknown_table public.toys 5")),
        (
            "references `people (id)`",
            "references `people (mail)`",
            Some("document_foreign_key public.pets.owner 24"),
        ),
    ];
    for (old, new, expected) in cases {
        let planted = fine.replacen(old, new, 1);
        assert_ne!(planted, fine, "{old}");
        assert_eq!(audit(&known, &planted), expected.into_iter().collect::<Vec<_>>(), "{old}");
    }
}

const TASKS: &str =
    "create type public.state as enum ('open', 'done');
         create table public.people (id uuid primary key default gen_random_uuid());
         create table public.tasks (id bigint generated always as identity primary key,
             person uuid not null references public.people (id) on delete cascade,
             state public.state not null default 'open', weight numeric(5,2) default 0, at timestamptz default now(),
             made_by uuid, note text);";

/// What documents of other projects have in a column of constraints, without backticks.
#[tokio::test]
async fn defaults_and_references_are_read_without_backticks() {
    let known = read_with(TASKS).await;
    let fine = "# Tables\n\n## people\n\n| Column | Type | Default |\n|---|---|---|\n| id | uuid | gen_random_uuid() |\n\n\
        ## tasks\n\n| Column | Type | Default | Constraints | Description |\n|---|---|---|---|---|\n\
        | id | bigint | auto | PRIMARY KEY | |\n\
        | person | uuid | - | NOT NULL, REFERENCES people(id) ON DELETE CASCADE | who does it |\n\
        | state | state | open | NOT NULL | |\n\
        | weight | numeric(5,2) | 0.00 | | |\n\
        | at | timestamptz | | DEFAULT now() | |\n\
        | made_by | uuid | set by a trigger | | |\n\
        | note | text | | | references nothing at all |\n";
    assert_eq!(audit(&known, fine), [""; 0]);
    let person = "REFERENCES people(id) ON DELETE CASCADE";
    let key = "document_foreign_key public.tasks.person 14";
    for (old, new, expected) in [
        ("| open |", "| done |", Some("document_default public.tasks.state 15")),
        ("| 0.00 |", "| 1 |", Some("document_default public.tasks.weight 16")),
        ("| 0.00 |", "| - |", Some("document_default public.tasks.weight 16")),
        (
            "| gen_random_uuid() |",
            "| uuid_generate_v4() |",
            Some("document_default public.people.id 7"),
        ),
        ("DEFAULT now()", "DEFAULT current_date", Some("document_default public.tasks.at 17")),
        (
            "| set by a trigger |",
            "| auth.uid() |",
            Some("document_default public.tasks.made_by 18"),
        ),
        (person, "REFERENCES tasks(id) ON DELETE CASCADE", Some(key)),
        (person, "REFERENCES people(id) ON DELETE SET NULL", Some(key)),
        (person, "FK -> people.id", None),
        (person, "FK (tasks.id)", Some(key)),
        (person, "FK", None),
        (
            "| set by a trigger | |",
            "| set by a trigger | FK |",
            Some("document_constraint public.tasks.made_by a foreign key 18"),
        ),
        (
            "| set by a trigger | |",
            "| set by a trigger | FK to people |",
            Some("document_foreign_key public.tasks.made_by 18"),
        ),
        (
            "| references nothing at all |",
            "| references people(id) |",
            Some("document_foreign_key public.tasks.note 19"),
        ),
    ] {
        let planted = fine.replacen(old, new, 1);
        assert_ne!(planted, fine, "{old}");
        assert_eq!(audit(&known, &planted), expected.into_iter().collect::<Vec<_>>(), "{new}");
    }
}

#[test]
fn a_document_that_is_not_there_is_an_error() {
    let (relations, agents) = (Relations::default(), AgentTables::default());
    assert!(documents::audit(&["gone.md".into()], &relations, &agents, &BTreeSet::new()).is_err());
}
