//! What the audit reads of a database.

use agent_provisioner::audit::relations::Name;
use agent_provisioner::audit::{AgentTables, Relations};
use agent_provisioner::templates::Templates;

use agent_provisioner::dev_server::SUPERUSER;

use crate::support::{ADMIN, Database, WORKER};

const SCHEMA: &str = "
    create schema app;
    create type app.mood as enum ('fine', 'bad');
    create table app.\"Odd Name\" (
        id bigint generated always as identity primary key,
        mood app.mood not null default 'fine',
        price numeric(10, 2),
        gross numeric generated always as (price * 1.2) stored,
        gone int,
        unique (mood, price)
    );
    alter table app.\"Odd Name\" drop column gone;
    create unique index on app.\"Odd Name\" (price) where price > 0;
    create index on app.\"Odd Name\" (gross, price desc);
    create table app.child (
        parent bigint constraint child_parent references app.\"Odd Name\" on delete set null
    );
    create view app.both as select c.parent, o.mood from app.child c join app.\"Odd Name\" o on o.id = c.parent;
    create function app.label(app.child) returns text language sql as 'select ''x''';
    create function app.find(query text, out n int, most int default 10, variadic more text[] default '{}')
        language sql as 'select 1';
    create function app.children() returns setof app.child language sql as 'select * from app.child';
    create function app.fires() returns trigger language plpgsql as 'begin return new; end';
    create procedure app.does() language sql as '';
    create publication changes for table app.child;
";

#[tokio::test]
async fn tables_functions_and_publications_are_read_as_they_are() {
    let db = Database::empty().await;
    let admin = db.connect(ADMIN).await;
    admin.batch_execute(SCHEMA).await.unwrap();
    let relations = Relations::read(&admin).await.unwrap();
    let odd = relations.table(&Name::new("app", "Odd Name")).unwrap();
    assert_eq!(odd.name.to_string(), "app.\"Odd Name\"");
    let columns: Vec<_> = odd
        .columns
        .iter()
        .map(|it| (it.name.as_str(), it.r#type.as_str(), it.not_null, it.identity.as_deref()))
        .collect();
    assert_eq!(
        columns,
        [
            ("id", "bigint", true, Some("always")),
            ("mood", "app.mood", true, None),
            ("price", "numeric(10,2)", false, None),
            ("gross", "numeric", false, None),
        ]
    );
    assert_eq!(odd.columns[1].default.as_deref(), Some("'fine'::app.mood"));
    assert_eq!((odd.columns[3].generated.is_some(), odd.columns[3].default.as_ref()), (true, None));
    let indexes: Vec<_> =
        odd.indexes.iter().map(|it| (it.unique, it.primary, it.columns.join(","))).collect();
    // The one of some rows is left out.
    assert_eq!(
        indexes,
        [
            (true, true, "id".to_owned()),
            (true, false, "mood,price".to_owned()),
            (false, false, "gross,price".to_owned())
        ]
    );
    let child = relations.table(&Name::new("app", "child")).unwrap();
    let [key] = child.foreign_keys.as_slice() else { unreachable!("{child:?}") };
    assert_eq!(
        (key.name.as_str(), key.columns.join(","), &key.target, key.target_columns.join(",")),
        ("child_parent", "parent".to_owned(), &odd.name, "id".to_owned())
    );
    assert_eq!(key.on_delete, "set null");
    assert!(relations.table(&Name::new("app", "both")).unwrap().is_view);
    assert!(relations.computes(&child.name, "label") && !relations.computes(&odd.name, "label"));
    let [find] = relations.functions(&Name::new("app", "find")) else { unreachable!() };
    let arguments: Vec<_> =
        find.arguments.iter().map(|it| (it.name.as_str(), it.has_default)).collect();
    assert_eq!(arguments, [("query", false), ("most", true), ("more", true)]);
    assert!(find.is_variadic);
    let [children] = relations.functions(&Name::new("app", "children")) else { unreachable!() };
    assert_eq!(children.returns_row_of.as_ref(), Some(&child.name));
    assert!(relations.functions(&Name::new("app", "fires")).is_empty());
    assert!(relations.functions(&Name::new("app", "does")).is_empty());
    assert!(relations.publishes("changes", &child.name));
    assert!(!relations.publishes("changes", &odd.name));
    assert_eq!(relations.buckets(), None);
}

#[tokio::test]
async fn buckets_are_known_where_all_can_be_seen() {
    let db = Database::empty().await;
    let root = db.connect(SUPERUSER).await;
    root.batch_execute(
        "create schema storage; create table storage.buckets (id text primary key);
         alter table storage.buckets enable row level security;
         grant usage on schema storage to public",
    )
    .await
    .unwrap();
    let buckets = async |client| {
        let read = Relations::read(client).await.unwrap();
        read.buckets().map(|buckets| buckets.iter().cloned().collect::<Vec<_>>())
    };
    assert_eq!(buckets(&root).await, None); // none is there yet
    root.batch_execute("insert into storage.buckets values ('a'), ('b')").await.unwrap();
    assert_eq!(buckets(&root).await, Some(vec!["a".to_owned(), "b".to_owned()]));
    root.batch_execute("set role anon").await.unwrap();
    assert_eq!(buckets(&root).await, None); // no right to read them
    root.batch_execute(
        "reset role; grant select on storage.buckets to anon; \
         create policy one on storage.buckets to anon using (id = 'a'); set role anon",
    )
    .await
    .unwrap();
    assert_eq!(buckets(&root).await, None); // row security may hide some
}

#[tokio::test]
async fn an_agents_tables_are_rendered_and_leave_nothing() {
    let db = Database::new().await;
    let mut worker = db.connect(WORKER).await;
    let templates = Templates::builtin().unwrap();
    let before = Relations::read(&worker).await.unwrap().tables().count();
    let agents = AgentTables::render(&mut worker, &templates).await.unwrap();
    let names: Vec<_> = agents.tables().map(|table| table.name.to_string()).collect();
    assert_eq!(
        names,
        [
            "public.{prefix}_customers",
            "public.{prefix}_messages",
            "public.{prefix}_orders",
            "public.{prefix}_orders_items"
        ]
    );
    let key = &agents.table("_orders_items").unwrap().foreign_keys[0];
    assert_eq!(key.target.to_string(), "public.{prefix}_orders");
    assert_eq!(key.name, "{prefix}_orders_items_order_id_fkey");
    assert_eq!(Relations::read(&worker).await.unwrap().tables().count(), before);
}
