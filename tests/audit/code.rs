//! What code asks for, against a real catalog: planted faults, and exactly those findings.

use std::fs;

use agent_provisioner::audit::code::{self, Outcome};
use agent_provisioner::audit::{AgentTables, Relations};
use agent_provisioner::dev_server::SUPERUSER;
use agent_provisioner::templates::Templates;
use tokio::sync::OnceCell;

use crate::support::{ADMIN, Database, Files, WORKER};

const SCHEMA: &str = "
    create table public.people (
        id uuid primary key, email text not null unique, full_name text, settings jsonb,
        constraint people_name_email unique (full_name, email)
    );
    create table public.teams (
        id bigint generated always as identity primary key,
        name text, owner_id uuid references public.people, created_by uuid references public.people
    );
    create table public.tags (id int primary key, label text);
    create table public.team_tags (
        team_id bigint references public.teams, tag_id int references public.tags, primary key (team_id, tag_id)
    );
    create table public.tickets (
        id serial primary key, team_id bigint references public.teams, parent_id int references public.tickets,
        title text, amount numeric, doubled numeric generated always as (amount * 2) stored
    );
    create view public.open_tickets as select id, title from public.tickets;
    create function public.search_tickets(query text, most int default 10) returns setof public.tickets
        language sql as 'select * from public.tickets';
    create function public.initials(public.people) returns text language sql as 'select ''x''';
    create function public.notes(body json) returns int language sql as 'select 1';
    create function public.echo(json) returns json language sql as 'select $1';
    alter publication supabase_realtime add table public.tickets;
    create type public.mood as enum ('open', 'in progress', 'closed');
    create domain public.any_mood as public.mood;
    create table public.items (id int primary key, mood public.mood, other public.any_mood, moods public.mood[]);
    create function public.set_mood(to_mood public.mood) returns int language sql as 'select 1';
    create schema app;
    create table app.audit_log (id int primary key, line text);
    create table public.log_2025 (id int primary key, line text);
    create table public.log_2026 (id int primary key, line text, level int);
";

/// Read once: the same schema for all.
async fn known() -> &'static (Relations, AgentTables) {
    static KNOWN: OnceCell<(Relations, AgentTables)> = OnceCell::const_new();
    let read = async || {
        let db = Database::new().await;
        db.connect(ADMIN).await.batch_execute(SCHEMA).await.unwrap();
        let mut worker = db.connect(WORKER).await;
        let agents =
            AgentTables::render(&mut worker, &Templates::builtin().unwrap()).await.unwrap();
        (Relations::read(&worker).await.unwrap(), agents)
    };
    KNOWN.get_or_init(read).await
}

async fn audit(files: &Files) -> Outcome {
    let (relations, agents) = known().await;
    code::audit(&[files.path().into()], relations, agents).unwrap()
}

/// `severity kind object file:line`, the file below the directory.
async fn found(files: &Files) -> Vec<String> {
    let outcome = audit(files).await;
    let findings = outcome.findings.iter().map(|finding| {
        let place = finding.place.as_ref().unwrap();
        let file = place.file.strip_prefix(files.path()).unwrap().trim_start_matches('/');
        let severity = format!("{:?}", finding.severity).to_lowercase();
        format!("{severity} {} {} {file}:{}", finding.kind, finding.object, place.line)
    });
    findings.collect()
}

/// Of one file `a.ts` that has a client.
async fn found_in(text: &str) -> Vec<String> {
    let text = format!("import {{ supabase }} from './supabase'\n{text}");
    found(&Files::new(&[("a.ts", &text)])).await
}

/// What gives a column or an argument of an enum a value that it lacks.
const VALUES: [&str; 19] = [
    "supabase.from('items').select().eq('mood', 'opne')",
    "supabase.from('items').select().neq('other', 'opne')",
    "supabase.from('items').select().in('mood', ['open', 'opne'])",
    "const list = ['opne'] as const; supabase.from('items').select().in('mood', list)",
    "supabase.from('items').select().match({ id: 1, mood: 'opne' })",
    "supabase.from('items').select().not('mood', 'eq', 'opne')",
    "supabase.from('items').select().not('mood', 'in', '(open,opne)')",
    "supabase.from('items').select().filter('mood', 'not.eq', 'opne')",
    "supabase.from('items').select().or('mood.eq.in progress,and(id.gt.1,mood.in.(open,opne))')",
    "supabase.from('items').insert({ id: 1, mood: 'opne' })",
    "supabase.from('items').insert([{ mood: 'open' }, { mood: 'opne' }])",
    "supabase.from('items').insert(rows.map((it) => ({ id: it.id, mood: 'opne' })))",
    "supabase.from('items').update({ mood: it.done ? 'closed' : 'opne' }).eq('id', 1)",
    "supabase.from('items').update({ mood: it.mood ?? 'opne' }).eq('id', 1)",
    "const row = { mood: 'opne' }; supabase.from('items').upsert(row)",
    "enum Mood { Open = 'opne' } supabase.from('items').update({ mood: Mood.Open }).eq('id', 1)",
    "const MOOD = { open: 'opne' } as const; supabase.from('items').select().eq('mood', MOOD.open)",
    "supabase.rpc('set_mood', { to_mood: 'opne' })",
    "supabase.channel('x').on('postgres_changes', { event: '*', schema: 'public', table: 'items', filter: 'mood=eq.opne' }, f)",
];

#[tokio::test]
async fn a_value_that_an_enum_lacks_is_one_finding() {
    for code in VALUES {
        let found = found_in(code).await;
        let found: Vec<_> = found.iter().filter(|it| !it.contains("unpublished_table")).collect();
        assert_eq!(found, ["error unknown_enum_value public.mood.opne a.ts:2"], "{code}");
    }
    let files = Files::new(&[("a.ts", &format!("supabase\n{}", VALUES[0]))]);
    assert!(audit(&files).await.findings[0].fix.contains("`open`"));
    // What is not known, or may be another value, is not told.
    for code in [
        "supabase.from('items').select().eq('mood', mood).in('mood', moods).is('mood', null)",
        "supabase.from('items').select().eq('mood', `${a}ed`).or(`mood.eq.${mood}`)",
        "const row = { mood: '' }; row.mood = given; supabase.from('items').insert(row)",
        "let mood = ''; mood = given; supabase.from('items').insert({ mood })",
        "supabase.from('items').insert({ mood: null, moods: ['opne'] })",
        "supabase.from('items').select().eq('mood', 'in progress').or('mood.eq.in progress')",
    ] {
        assert_eq!(found_in(code).await, [""; 0], "{code}");
    }
    let templated = "supabase.from(`${p}ems`).select().eq('mood', 'opne')";
    assert_eq!(found_in(templated).await, ["warning unknown_enum_value public.mood.opne a.ts:2"]);
}

/// Code, and what is found in it.
const FAULTS: [(&str, &str); 34] = [
    ("supabase.from('pepole').select('*')", "error unknown_table public.pepole"),
    ("supabase.from('people').select('id, emial')", "error unknown_column public.people.emial"),
    ("supabase.from('people').select().eq('nmae', 1)", "error unknown_column public.people.nmae"),
    ("supabase.from('people').select().order('age')", "error unknown_column public.people.age"),
    (
        "supabase.from('people').select().match({ id: 1, ag: 2 })",
        "error unknown_column public.people.ag",
    ),
    (
        "supabase.from('people').select().or('email.eq.a,and(ag.gt.1,id.is.null)')",
        "error unknown_column public.people.ag",
    ),
    (
        "supabase.from('people').insert({ id: 1, mail: 2 })",
        "error unknown_column public.people.mail",
    ),
    (
        "supabase.from('people').insert([{ id: 1 }, { mail: 2 }])",
        "error unknown_column public.people.mail",
    ),
    (
        "supabase.from('people').insert(rows.map((it) => ({ id: it.id, mail: it.m })))",
        "error unknown_column public.people.mail",
    ),
    (
        "const row = { mail: 1 }; supabase.from('people').update(row).eq('id', 1)",
        "error unknown_column public.people.mail",
    ),
    (
        "supabase.from('people').upsert({ id: 1 }, { onConflict: 'full_name' })",
        "error no_unique_key public.people (full_name)",
    ),
    (
        "supabase.from('tickets').insert({ doubled: 2 })",
        "error generated_column public.tickets.doubled",
    ),
    (
        "supabase.from('teams').update({ id: 2 }).eq('id', 1)",
        "error generated_column public.teams.id",
    ),
    ("supabase.from('tickets').select('id, teams(nme)')", "error unknown_column public.teams.nme"),
    (
        "supabase.from('tickets').select('id, people(id)')",
        "error unknown_relationship public.tickets(people)",
    ),
    (
        "supabase.from('teams').select('people(id)')",
        "error ambiguous_relationship public.teams(people)",
    ),
    (
        "supabase.from('teams').select('people!teams_fk(id)')",
        "error unknown_relationship public.teams(people)",
    ),
    (
        "supabase.from('tickets').select('id, teams(').eq('id', 1)",
        "error invalid_select public.tickets",
    ),
    (
        "supabase.from('tickets').select('teams(id)').eq('teams.nme', 1)",
        "error unknown_column public.teams.nme",
    ),
    (
        "supabase.from('teams').select('t:tickets(*)').order('ttle', { referencedTable: 't' })",
        "error unknown_column public.tickets.ttle",
    ),
    (
        "supabase.rpc('serch_tickets', { query: 'a' })",
        "error unknown_function public.serch_tickets",
    ),
    (
        "supabase.rpc('search_tickets', { query: 'a', max: 1 })",
        "error unknown_argument public.search_tickets(max)",
    ),
    (
        "supabase.rpc('search_tickets', { most: 1 })",
        "error missing_argument public.search_tickets(query)",
    ),
    // Told once: it has another name.
    (
        "supabase.rpc('search_tickets', { text: 'a' })",
        "error unknown_argument public.search_tickets(text)",
    ),
    (
        "supabase.rpc('search_tickets', { query: 'a' }).eq('ttle', 1)",
        "error unknown_column public.tickets.ttle",
    ),
    (
        "supabase.channel('x').on('postgres_changes', { event: '*', schema: 'public', table: 'teams' }, f)",
        "error unpublished_table public.teams",
    ),
    (
        "supabase.channel('x').on('postgres_changes', { event: '*', schema: 'public', table: 'tickets', filter: 'tem_id=eq.1' }, f)",
        "error unknown_column public.tickets.tem_id",
    ),
    ("supabase.schema('app').from('audit_logs').select()", "error unknown_table app.audit_logs"),
    // Names with gaps, and names that are elsewhere, are warnings.
    ("supabase.from(`${prefix}_custmers`).select()", "warning unknown_table public.${…}_custmers"),
    (
        "supabase.from(`${prefix}_customers`).select('nmae')",
        "warning unknown_column public.{prefix}_customers.nmae",
    ),
    (
        "supabase.from(`${p}_orders`).select(`id, ${p}_customers(nme)`)",
        "warning unknown_column public.{prefix}_customers.nme",
    ),
    (
        "supabase.from(`${p}_messages`).select(`id, ${p}_orders(id)`)",
        "warning unknown_relationship public.{prefix}_messages(${…}_orders)",
    ),
    ("supabase.from(`log_${year}`).select('lne')", "warning unknown_column public.log_2025.lne"),
    ("supabase.from('audit_log').select()", "warning unknown_table public.audit_log"),
];

#[tokio::test]
async fn each_planted_fault_is_one_finding() {
    for (code, expected) in FAULTS {
        assert_eq!(found_in(code).await, [format!("{expected} a.ts:2")], "{code}");
    }
}

#[tokio::test]
async fn what_is_right_is_passed_over_in_silence() {
    let right = r#"
        import { createClient } from '@supabase/supabase-js'
        const db = createClient(url, key)
        const names = Array.from('abc'); const bytes = Buffer.from('x', 'hex'); Readable.from('pepole')
        const { data } = await db.from('people').select('*, initials, name:full_name, settings->theme->>dark')
            .eq('settings->>theme', 'x').ilike('email', '%a,b%').order('full_name', { ascending: false }).limit(5)
        await db.from('people').select('id, teams!teams_owner_id_fkey(id, tags(label), tickets(count))')
        await db.from('teams').select('owner:people!owner_id(full_name), creator:created_by(email)')
        await db.from('teams').select('tags!inner(*), ...owner:owner_id(full_name)').eq('tags.label', 'x')
        await db.from('tickets').select('amount.sum(), n:count(), id::text, parent:tickets!parent_id(id)')
        await db.from('open_tickets').select('title, teams(name)')
        await db.from('people').upsert({ id, email }, { onConflict: 'email,full_name' })
        await db.from('people').upsert([{ id, ...rest }], { onConflict: 'id' })
        await db.from('log_2026').select('level').or(`level.gt.${n},line.ilike.%${q}%`)
        await db.from(`log_${year}`).select('level')
        await db.rpc('search_tickets', { query }).select('title').gt('amount', 1)
        await db.rpc('search_tickets', args)
        await db.rpc('echo', { anything: 1 })
        await db.rpc('notes', { body: {} }, { count: 'exact' })
        let query = db.from('tickets').select('id')
        if (team) query = query.eq('team_id', team)
        const page = await query.order('id')
        await db.schema('app').from('audit_log').select('line')
        await db.from(`${prefix}_customers`).select('name, phone').eq('agent_id', 1)
        await db.from(`${prefix}_orders`).insert({ customer_id: 1, status: 'x' }).select('total_amount')
        await db.storage.from('avatars').upload('a.png', file)
        const files = db.storage; files.from('avatars').list()
        db.channel('x').on('postgres_changes', { event: 'INSERT', schema: 'public', table: 'tickets' }, f)
        dayjs().from('2020'); moment.from('pepole')
        provider.rpc('eth_call', [1]); emitter.on('postgres', { table: 'nothing' })
        // supabase.from('pepole').select('*')
        const text = "supabase.from('pepole').select('*')"
    "#;
    let files = Files::new(&[("src/right.ts", right)]);
    let outcome = audit(&files).await;
    assert_eq!(outcome.findings, []);
    assert_eq!(outcome.unchecked, [""; 0]);
}

#[tokio::test]
async fn embedded_rows_may_be_asked_for_null() {
    let from = "supabase.from('people').select('id, teams!teams_owner_id_fkey(id, tickets(id)), t:teams!created_by(id)')";
    for filter in [
        ".not('teams', 'is', null)",
        ".is('t', null)",
        ".filter('teams', 'not.is', null)",
        ".or('email.eq.a,teams.not.is.null')",
        ".not('teams.tickets', 'is', null)",
    ] {
        assert_eq!(found_in(&format!("{from}{filter}")).await, [""; 0], "{filter}");
    }
    for filter in [".eq('teams', 1)", ".or('teams.eq.1')", ".not('tickets', 'is', null)"] {
        let found = found_in(&format!("{from}{filter}")).await;
        assert!(
            found.len() == 1 && found[0].starts_with("error unknown_column"),
            "{filter} {found:?}"
        );
    }
}

#[tokio::test]
async fn a_client_for_a_schema_that_is_elsewhere_is_not_checked() {
    let text = "import { createClient } from '@supabase/supabase-js'
        const far = createClient('u', 'k', { db: { schema: 'analytics' } })
        export const app = createClient('u', 'k', { db: { schema: 'app' } })
        far.from('events').select('id')
        far.rpc('refresh')
        app.from('audit_log').select('line')
        app.from('people').select('id')
        far.schema('public').from('pepole').select('id')";
    let files = Files::new(&[
        ("a.ts", text),
        ("b.ts", "import { app } from './a'\napp.from('pepole').select()"),
    ]);
    let outcome = audit(&files).await;
    let found: Vec<&str> = outcome.findings.iter().map(|it| it.object.as_str()).collect();
    assert_eq!(found, ["app.people", "public.pepole", "app.pepole"]);
    assert_eq!(outcome.unchecked.len(), 2, "{:?}", outcome.unchecked);
    assert!(outcome.unchecked.iter().all(|it| it.contains("analytics")), "{:?}", outcome.unchecked);
}

#[tokio::test]
async fn constants_are_followed_within_a_file() {
    let cases = [
        "const t = 'pepole'; supabase.from(t).select()",
        "const t = 'pep' + 'ole'; supabase.from(t).select()",
        "const half = 'pep'; const t = `${half}ole`; supabase.from(t).select()",
        "const T = { people: 'pepole' } as const; supabase.from(T.people).select()",
        "const T = Object.freeze({ people: 'pepole' }); supabase.from(T['people']).select()",
        "enum T { People = 'pepole' } supabase.from(T.People).select()",
        "class T { static readonly people = 'pepole' } supabase.from(T.people).select()",
        "class R { private readonly table = 'pepole'; all() { return this.db.from(this.table).select() } }",
        "const name = (kind: string) => `pep${kind}`; supabase.from(name('ole')).select()",
        "function name(kind) { return 'pep' + kind } supabase.from(name('ole')).select()",
        "let t = 'pepole'; supabase.from(t).select()",
    ];
    for code in cases {
        assert_eq!(found_in(code).await, ["error unknown_table public.pepole a.ts:2"], "{code}");
    }
    let columns = "const list = ['id', 'emial'].join(', '); supabase.from('people').select(list)";
    assert_eq!(found_in(columns).await, ["error unknown_column public.people.emial a.ts:2"]);
    let request =
        "let q = supabase.from('people').select('id')\nq = q.eq('nmae', 1)\nawait q.order('ag')";
    assert_eq!(
        found_in(request).await,
        [
            "error unknown_column public.people.nmae a.ts:3",
            "error unknown_column public.people.ag a.ts:4"
        ]
    );
    let other = "let q = supabase.from('people').select(); q = supabase.from('teams').select(); q.eq('name', 1)";
    assert_eq!(found_in(other).await, [""; 0]);
    let agent = "const table = (p: string, t: string) => `${p}_${t}`
        supabase.from(table(prefix, 'customers')).select('nmae')";
    assert_eq!(
        found_in(agent).await,
        ["warning unknown_column public.{prefix}_customers.nmae a.ts:3"]
    );
}

/// A client of any name is one where another file makes it.
#[tokio::test]
async fn a_client_is_followed_over_imports() {
    let from = "('pepole').select()";
    let files = Files::new(&[
        (
            "lib/api.ts",
            "import { createClient } from '@supabase/supabase-js'\nimport { createClient as other } from '@acme/orm'\n\
             export const api = createClient('u', 'k')\nexport default api\nexport const orm = other()",
        ),
        ("lib/all.ts", "export { api as again } from './api'"),
        ("a.ts", &format!("import {{ api }} from './lib/api'\napi.from{from}")),
        ("b.ts", &format!("import whole from './lib/api'\nwhole.from{from}")),
        ("c.ts", &format!("import {{ again }} from './lib/all'\nagain.from{from}")),
        ("d.ts", &format!("import {{ orm }} from './lib/api'\norm.from{from}")),
    ]);
    let expected = [
        "error unknown_table public.pepole a.ts:2",
        "error unknown_table public.pepole b.ts:2",
        "error unknown_table public.pepole c.ts:2",
        "warning unknown_table public.pepole d.ts:2",
    ];
    assert_eq!(found(&files).await, expected);
}

#[tokio::test]
async fn constants_are_followed_over_imports() {
    let files = Files::new(&[
        (
            "lib/tables.ts",
            "import { half } from './half.js'\nexport const PEOPLE = `${half}ole`\nexport default { teams: 'tems' }",
        ),
        ("lib/half.ts", "export const half = 'pep'; export { circle } from './circle'"),
        ("lib/circle.ts", "import { half } from './half'; export const circle = half"),
        ("lib/index.ts", "export * from './tables'; export { PEOPLE as P } from './tables'"),
        (
            "app/a.ts",
            "import { PEOPLE as people } from '../lib/tables'\nsupabase.from(people).select()",
        ),
        (
            "app/b.tsx",
            "import tables from '@/lib/tables'\nsupabase.from(tables.teams).select(); <p/>",
        ),
        ("app/c.mjs", "import * as t from '../lib'\nsupabase.from(t.P).select()"),
        ("app/d.jsx", "import { PEOPLE } from '@/lib'\nsupabase.from(PEOPLE).select(); <p/>"),
    ]);
    assert_eq!(
        found(&files).await,
        [
            "error unknown_table public.pepole app/a.ts:2",
            "error unknown_table public.tems app/b.tsx:2",
            "error unknown_table public.pepole app/c.mjs:2",
            "error unknown_table public.pepole app/d.jsx:2",
        ]
    );
}

#[tokio::test]
async fn what_is_known_only_at_run_time_is_listed_and_is_no_finding() {
    let text = "export const all = (t: string) => supabase.from(t).select()
        supabase.from(`${a}_${b}`).select()
        supabase.rpc(name)
        supabase.from('people').select(columns)
        supabase.schema(s).from('x').select()";
    let files =
        Files::new(&[("a.ts", text), ("b.astro", "<script></script>"), ("c.ts", "const = 1")]);
    let outcome = audit(&files).await;
    assert_eq!(outcome.findings, []);
    let places: Vec<_> = outcome
        .unchecked
        .iter()
        .map(|it| it.strip_prefix(files.path()).unwrap().split(": ").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        places,
        ["/b.astro", "/c.ts:1", "/a.ts:1", "/a.ts:2", "/a.ts:3", "/a.ts:4", "/a.ts:5"]
    );
}

/// Each of these would use up the stack, and the process would be gone.
#[tokio::test]
async fn what_is_nested_too_deep_is_unchecked() {
    let nested =
        |head: &str, inner: &str| format!("{}{inner}{}", head.repeat(20_000), ")".repeat(20_000));
    let select = format!("supabase.from('people').select('{}')", nested("a(", "id"));
    let filter = format!("supabase.from('people').select().or('{}')", nested("and(", "a.eq.1"));
    let files = Files::new(&[
        ("a.ts", &select),
        ("b.ts", &filter),
        ("c.ts", &format!("\nconst a = {}", nested("(", "1"))),
        (
            "d.ts",
            &format!(
                "import {{ a }} from './c'; supabase.from(a).select(); {}",
                "!".repeat(60_000)
            ),
        ),
        ("e.ts", "supabase.from('pepole').select()"),
    ]);
    let outcome = audit(&files).await;
    let found: Vec<_> = outcome.findings.iter().map(|it| it.object.as_str()).collect();
    assert_eq!(found, ["public.pepole"]);
    let of = |file: &str| outcome.unchecked.iter().filter(|it| it.contains(file)).count();
    assert_eq!(
        ["/a.ts:1: ", "/c.ts:2: ", "/d.ts:1: "].map(of),
        [1, 1, 1],
        "{:?}",
        outcome.unchecked
    );
}

#[tokio::test]
async fn what_is_called_from_and_is_no_client_gives_no_error() {
    for code in [
        "class Foo { from(x) { return this } select(x) { return this } }\nnew Foo().from('pepole').select('x')",
        "class Foo {}\nconst foo = new Foo(); foo.from('pepole').select('x')",
        "const qb = { from(t) { return { select: (s) => s } } }\nqb.from('pepole').select('x')",
    ] {
        assert_eq!(found_in(code).await, [""; 0], "{code}");
    }
    let others = [
        "import knex from 'knex'; const k = knex({}); k.from('pepole').select('x')",
        "import knex from 'knex'; knex({}).from('pepole').select()",
        "const db = require('knex')({}); db.from('pepole').select()",
        "const { client } = require('other'); client.from('pepole').delete()",
        "import { client } from '@acme/orm'; client.from('pepole').select()",
        "import { Kysely } from 'kysely'; const db = new Kysely(); db.from('pepole').select()",
        "import db from 'other'; db.select().from('pepole').delete()",
        "import { of } from 'rxjs'; of(1).from('pepole').select()",
        "Buffer.from('pepole').select(); Observable.from('pepole').update({ a: 1 })",
    ];
    for code in others {
        assert_eq!(found_in(code).await, [""; 0], "{code}");
    }
    let unknown = [
        "function list(qb) { return qb.from('pepole').select() }",
        "import api from './api'; api.from('pepole').select()",
        "import { createClient } from '@acme/data'; createClient().from('pepole').select()",
        "class R { all() { return this.source().from('pepole').select() } }",
    ];
    for code in unknown {
        assert_eq!(found_in(code).await, ["warning unknown_table public.pepole a.ts:2"], "{code}");
    }
    let clients = [
        "import { createClient } from '@supabase/supabase-js'; const api = createClient(u, k); api.from('pepole').select()",
        "import { createClient } from '@/lib/server'; const api = await createClient(); api.from('pepole').select()",
        "import sb from './sb'; sb.from('pepole').select()",
        "import { supabaseAdmin } from '@acme/data'; supabaseAdmin.from('pepole')",
        "import { client } from './client'; client.from('pepole').select()",
        "function list(api: SupabaseClient) { return api.from('pepole').select() }",
        "class R { constructor(private readonly c: SupabaseClient) {} all() { return this.c.from('pepole').select() } }",
        "const api = useSupabase().client; api.from('pepole').select()",
    ];
    for code in clients {
        assert_eq!(found_in(code).await, ["error unknown_table public.pepole a.ts:2"], "{code}");
    }
    let held = "const app = supabase.schema('app'); app.from('audit_log').select('lne')";
    assert_eq!(found_in(held).await, ["error unknown_column app.audit_log.lne a.ts:2"]);
}

#[tokio::test]
async fn scripts_of_components_are_read() {
    let vue = "<template>\n  <p>{{ supabase.from('no') }}</p>\n</template>\n<script setup lang=\"ts\">\n\
               import { PEOPLE } from './tables'\nconst rows: Row[] = await supabase.from(PEOPLE).select()\n</script>\n";
    let svelte = "<script>\n  supabase.from('tems').select()\n</script>\n<p>{supabase.from('no').select()}</p>\n";
    let files = Files::new(&[
        ("a.vue", vue),
        ("b.svelte", svelte),
        ("tables.ts", "export const PEOPLE = 'pepole'"),
    ]);
    assert_eq!(
        found(&files).await,
        ["error unknown_table public.pepole a.vue:6", "error unknown_table public.tems b.svelte:2"]
    );
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_found_where_buckets_can_be_read() {
    let db = Database::empty().await;
    let root = db.connect(SUPERUSER).await;
    let sql = "create schema if not exists storage; create table if not exists storage.buckets (id text primary key); \
               insert into storage.buckets (id) values ('avatars')";
    root.batch_execute(sql).await.unwrap();
    let code = "supabase.storage.from('avatars').list(); supabase.storage.from(name).list()\n\
                supabase.storage.from('avatas').list()";
    let files = Files::new(&[("a.ts", code)]);
    let read = async || {
        let relations = Relations::read(&root).await.unwrap();
        code::audit(&[files.path().into()], &relations, &AgentTables::default()).unwrap()
    };
    let outcome = read().await;
    let found: Vec<_> = outcome
        .findings
        .iter()
        .map(|it| (it.kind, it.object.as_str(), it.place.as_ref().unwrap().line))
        .collect();
    assert_eq!(found, [("unknown_bucket", "bucket avatas", 2)]);
    assert!(outcome.findings[0].fix.contains("`avatars`"), "{}", outcome.findings[0].fix);
    assert_eq!(outcome.unchecked.len(), 1, "{:?}", outcome.unchecked);
    root.batch_execute("delete from storage.buckets").await.unwrap();
    assert_eq!(read().await.findings, []);
}

#[tokio::test]
async fn installed_packages_are_passed_over_in_any_case() {
    let wrong = "supabase.from('pepole').select()";
    let files = Files::new(&[
        ("node_modules/a/index.js", wrong),
        ("packages/web/Node_Modules/a/index.js", wrong),
        ("NODE_MODULES/a/index.ts", wrong),
        ("dist/a.js", wrong),
        ("src/vendor/a.js", wrong),
        ("src/a.d.ts", wrong),
        ("src/a.min.js", wrong),
        (".next/a.js", wrong),
        ("ignored/a.js", wrong),
        (".gitignore", "ignored/\n!node_modules\n"),
        ("src/own.js", wrong),
    ]);
    assert_eq!(found(&files).await, ["error unknown_table public.pepole src/own.js:1"]);
    // A directory that is named itself is read.
    let (relations, agents) = known().await;
    let named = code::audit(&[format!("{}/dist", files.path()).into()], relations, agents).unwrap();
    assert_eq!(named.findings.len(), 1);
    let gone = code::audit(&[format!("{}/gone", files.path()).into()], relations, agents);
    assert!(gone.is_err());
}

#[tokio::test]
async fn a_finding_has_the_nearest_name_all_lines_and_an_id_that_stays() {
    let text = "const db = supabase\n\nsupabase.from('pepole').select()\nsupabase\n  .from('pepole')\n  .delete()";
    let files = Files::new(&[("a.ts", text)]);
    let first = audit(&files).await.findings.remove(0);
    assert!(first.fix.contains("`people`"), "{}", first.fix);
    assert!(first.evidence.ends_with("(lines 3, 5)"), "{}", first.evidence);
    files.write("a.ts", &format!("\n\n{text}"));
    let second = audit(&files).await.findings.remove(0);
    assert_eq!((&first.id, second.place.unwrap().line), (&second.id, 5));
    // An agent's table without the prefix.
    files.write("a.ts", "supabase.from('customers').select()");
    let fix = audit(&files).await.findings.remove(0).fix;
    assert!(fix.contains("${…}_customers"), "{fix}");
    // A comment takes it out, by the id.
    files.write("a.ts", &format!("// audit: ignore {} known\n{text}", first.id));
    let mut outcome = audit(&files).await;
    assert_eq!(outcome.ignores.apply(&mut outcome.findings), 1);
    assert_eq!(outcome.findings, []);
    // In a string it is no comment.
    files.write("a.ts", &format!("const a = '// audit: ignore {} known'\n{text}", first.id));
    let mut outcome = audit(&files).await;
    assert_eq!(outcome.ignores.apply(&mut outcome.findings), 0);
}

#[tokio::test]
async fn no_value_of_the_code_is_shown() {
    let text = "createClient('https://x', 'sb_secret_1').from('pepole').select().eq('emial', 'sb_secret_2')
        supabase.from('people').insert({ mail: 'sb_secret_3' }).or('ag.eq.sb_secret_4')";
    let files = Files::new(&[("a.ts", text)]);
    let outcome = audit(&files).await;
    assert_eq!(outcome.findings.len(), 3);
    assert!(!format!("{outcome:?}").contains("sb_secret"), "{outcome:?}");
    fs::remove_file(format!("{}/a.ts", files.path())).unwrap();
}
