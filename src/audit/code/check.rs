//! Compares what code asks for with what is there.

use super::findings::{
    AMBIGUOUS_RELATIONSHIP, Findings, GENERATED_COLUMN, INVALID_SELECT, NO_UNIQUE_KEY, Site,
    UNKNOWN_BUCKET, UNKNOWN_COLUMN, UNKNOWN_RELATIONSHIP, UNKNOWN_TABLE, UNPUBLISHED_TABLE,
};
use super::grammar::{self, Condition, Embed, Item, OPEN, Unreadable};
use super::lookup::{Found, Lookup};
use super::relationship::Fault;
use super::text::{Text, shown};
use super::uses::{Key, Keys, Operation, Step, Target, Use};
use crate::audit::platform::PLATFORM;
use crate::audit::relations::{Name, PREFIX, Table};
use crate::audit::similar::nearest;
use crate::sql_text::quoted;

/// The publication that Realtime reads.
const REALTIME: &str = "supabase_realtime";

/// What the uses of all files are compared with, and what came of it.
pub(super) struct Checker<'r> {
    pub(super) lookup: Lookup<'r>,
    /// Where the API looks for names without a schema.
    pub(super) schemas: Vec<String>,
    pub(super) findings: Findings,
    /// One sentence for each use that is known only when the program runs.
    pub(super) unchecked: Vec<String>,
}

impl<'r> Checker<'r> {
    /// Checks one use in a file.
    pub(super) fn check(&mut self, file: &str, use_: &Use) {
        let mut site = Site { file, line: use_.line, is_certain: use_.is_certain };
        // A client that nothing is known of may be that of a schema that is elsewhere.
        let may_be_elsewhere = use_.client.is_none()
            && self.schemas.iter().any(|schema| !self.lookup.relations.has_schema(schema));
        site.is_certain &= !may_be_elsewhere;
        let of_client = use_.client.as_ref().and_then(|client| client.0.as_ref());
        if let Some(schema) = self.elsewhere(&use_.target, of_client) {
            let line = use_.line;
            self.unchecked.push(format!(
                "{file}:{line}: its client is for schema {schema}, which is not here"
            ));
            return;
        }
        match &use_.target {
            Target::Table { schema, name } => {
                let schema = schema.as_ref().or(of_client);
                if let Some(found) = self.table(site, schema, name, "from") {
                    self.steps(site, &found, &use_.steps);
                }
            }
            Target::Function { schema, name, arguments } => {
                let schema = schema.as_ref().or(of_client);
                let Some(schemas) = self.schemas_of(site, schema) else { return };
                match name.literal() {
                    Some(name) => {
                        let rows = self.function(site, &schemas, name, arguments);
                        if let Some(found) = rows {
                            self.steps(site, &found, &use_.steps);
                        }
                    }
                    None => self.cannot_tell(site, "the function of rpc()"),
                }
            }
            Target::Bucket(name) => self.bucket(site, name),
            Target::Changes { schema, table, filter } => {
                self.changes(site, schema.as_ref(), table, filter.as_ref());
            }
        }
    }

    /// The schema of the client, where a call names no other one and the schema is not in this database.
    fn elsewhere<'t>(&self, target: &Target, of_client: Option<&'t Text>) -> Option<&'t str> {
        let names_none = match target {
            Target::Table { schema, .. } | Target::Function { schema, .. } => schema.is_none(),
            Target::Bucket(_) | Target::Changes { .. } => false,
        };
        let schema = of_client.filter(|_| names_none)?.literal()?;
        (!self.lookup.relations.has_schema(schema)).then_some(schema)
    }

    pub(super) fn cannot_tell(&mut self, site: Site<'_>, what: &str) {
        let Site { file, line, .. } = site;
        self.unchecked.push(format!("{file}:{line}: {what} is known only when the program runs"));
    }

    fn schemas_of(&mut self, site: Site<'_>, schema: Option<&Text>) -> Option<Vec<String>> {
        let Some(schema) = schema else { return Some(self.schemas.clone()) };
        let name = schema.literal().map(|name| vec![name.to_owned()]);
        if name.is_none() {
            self.cannot_tell(site, "the schema");
        }
        name
    }

    fn table(
        &mut self,
        site: Site<'_>,
        schema: Option<&Text>,
        name: &Text,
        method: &str,
    ) -> Option<Found<'r>> {
        let schemas = self.schemas_of(site, schema)?;
        let found = match name.literal() {
            Some(literal) => self.lookup.certain(&schemas, literal),
            None if name.says_something() => self.lookup.templated(&schemas, name),
            None => {
                self.cannot_tell(site, &format!("the table of {method}()"));
                return None;
            }
        };
        if found.is_none() {
            self.unknown_table(site, &schemas, name, method);
        }
        found
    }

    fn unknown_table(&mut self, site: Site<'_>, schemas: &[String], name: &Text, method: &str) {
        let shown = name.shown();
        let schema = schemas.first().map_or("public", String::as_str);
        let lookup = self.lookup;
        let mut others =
            lookup.relations.tables().filter(|it| !PLATFORM.contains(&it.name.schema.as_str()));
        let elsewhere = others.find(|it| Some(it.name.name.as_str()) == name.literal());
        let agents = lookup.agents.tables().map(|it| it.name.name.replace(PREFIX, "${…}"));
        let agents: Vec<String> = agents.collect();
        let own = lookup.relations.tables().filter(|it| schemas.contains(&it.name.schema));
        let own = own.map(|it| it.name.name.as_str());
        let of_agent = agents.iter().find(|it| it.strip_prefix("${…}_") == name.literal());
        let near = nearest(&shown, own.chain(agents.iter().map(String::as_str)));
        let fix = if let Some(table) = of_agent {
            format!("Each agent has a table of its own: write `{table}` with the agent's prefix.")
        } else if let Some(table) = elsewhere {
            let schema = &table.name.schema;
            format!("{} is there: write .schema('{schema}') before .{method}().", table.name)
        } else if let Some(near) = near {
            format!("Did you mean `{near}`? If not, create the table in a migration.")
        } else {
            "Create the table in a migration, or correct the name.".to_owned()
        };
        let is_certain = site.is_certain && name.literal().is_some() && elsewhere.is_none();
        let message = format!("Schema {schema} has no table or view `{shown}`.");
        let object = format!("{}.{}", quoted(schema), name.literal().map_or(shown.clone(), quoted));
        let call = format!(".{method}('{shown}')");
        self.findings.add(
            UNKNOWN_TABLE,
            Site { is_certain, ..site },
            &object,
            (message, call, fix),
        );
    }

    fn bucket(&mut self, site: Site<'_>, name: &Text) {
        let Some(buckets) = self.lookup.relations.buckets() else { return };
        let Some(literal) = name.literal() else {
            return self.cannot_tell(site, "the bucket of storage.from()");
        };
        if buckets.contains(literal) {
            return;
        }
        let fix = nearest(literal, buckets.iter().map(String::as_str)).map_or_else(
            || "Create the bucket, or correct the name.".to_owned(),
            |near| format!("Did you mean `{near}`? If not, create the bucket."),
        );
        let message = format!("There is no storage bucket `{literal}`.");
        let call = format!("storage.from('{literal}')");
        self.findings.add(UNKNOWN_BUCKET, site, &format!("bucket {literal}"), (message, call, fix));
    }

    fn changes(
        &mut self,
        site: Site<'_>,
        schema: Option<&Text>,
        table: &Text,
        filter: Option<&Text>,
    ) {
        if table.literal() == Some("*") || schema.and_then(Text::literal) == Some("*") {
            return;
        }
        let Some(found) = self.table(site, schema, table, "on") else { return };
        let filter = filter.map(Text::marked);
        let column = filter.as_ref().and_then(|filter| Some(filter.split_once('=')?.0));
        if let Some(column) = column {
            self.column(site, &found, column, &format!("filter: '{column}=…'"));
            let condition = filter.as_ref().and_then(|filter| Some(filter.split_once('=')?.1));
            let values = grammar::operands(condition.unwrap_or_default());
            self.values(site, &found, column, &values);
        }
        let relations = self.lookup.relations;
        let published = |table: &&Table| relations.publishes(REALTIME, &table.name);
        let is_template = found.tables().iter().any(|it| it.name.name.starts_with(PREFIX));
        if is_template
            || !relations.knows_publication(REALTIME)
            || found.tables().iter().copied().any(|table| published(&table))
        {
            return;
        }
        let Some(table) = found.table() else { return };
        let object = table.name.to_string();
        let message = format!("{object} is not in the publication {REALTIME}.");
        let call = format!(".on('postgres_changes', {{ table: '{}' }})", table.name.name);
        let fix = format!("alter publication {REALTIME} add table {object};");
        let site = Site { is_certain: site.is_certain && found.is_certain, ..site };
        self.findings.add(UNPUBLISHED_TABLE, site, &object, (message, call, fix));
    }

    fn steps(&mut self, site: Site<'_>, found: &Found<'r>, steps: &[Step]) {
        let site = Site { is_certain: site.is_certain && found.is_certain, ..site };
        let mut embeds = Vec::new();
        for Step { line, what } in steps {
            if let Operation::Select(text) = what {
                let site = Site { line: *line, ..site };
                embeds = self.select(site, found, text);
            }
        }
        for Step { line, what } in steps {
            let site = Site { line: *line, ..site };
            match what {
                Operation::Select(_) => {}
                Operation::Insert(keys) => self.keys(site, found, keys, "insert"),
                Operation::Update(keys) => self.keys(site, found, keys, "update"),
                Operation::OnConflict(columns) => self.on_conflict(site, found, columns),
                Operation::Column { name, of, is_null_test, values } => {
                    let Some(path) = grammar::column(&name.marked()) else { continue };
                    let mut way = path.embeds;
                    way.extend(of.as_ref().map(Text::marked));
                    if *is_null_test && is_embedded(&embeds, &way, &path.column) {
                        continue;
                    }
                    if let Some(target) = self.reached(found, &embeds, &way) {
                        self.column(site, &target, &path.column, &format!("'{}'", name.shown()));
                        self.values(site, &target, &path.column, values);
                    }
                }
                Operation::Conditions { text, of } => {
                    let Some(columns) = grammar::conditions(&text.marked()) else { continue };
                    let way: Vec<String> = of.as_ref().map(Text::marked).into_iter().collect();
                    let Some(target) = self.reached(found, &embeds, &way) else { continue };
                    for Condition { column, is_null_test, operands } in columns {
                        if is_null_test && is_embedded(&embeds, &way, &column) {
                            continue;
                        }
                        self.column(site, &target, &column, &format!(".or('{}…')", shown(&column)));
                        self.values(site, &target, &column, &operands);
                    }
                }
            }
        }
    }

    /// Checks what `select` asks for, and returns it. What cannot be known is empty.
    fn select(&mut self, site: Site<'_>, found: &Found<'r>, text: &Text) -> Vec<Item> {
        let marked = text.marked();
        let rest = match grammar::select(&marked) {
            Ok(items) => {
                if items == [Item::Column(OPEN.to_string())] {
                    self.cannot_tell(site, "the list of select()");
                    return Vec::new();
                }
                self.items(site, found, &items);
                return items;
            }
            Err(Unreadable::TooDeep) => {
                let Site { file, line, .. } = site;
                self.unchecked.push(format!(
                    "{file}:{line}: the list of select() is nested deeper than {} tables",
                    grammar::DEEPEST
                ));
                return Vec::new();
            }
            Err(Unreadable::From(rest)) => rest,
        };
        let Some(table) = found.table().filter(|_| text.literal().is_some()) else {
            self.cannot_tell(site, "the list of select()");
            return Vec::new();
        };
        let at = if rest.is_empty() { "at its end".to_owned() } else { format!("from `{rest}`") };
        let message = format!("The list of select() cannot be read {at}.");
        let call = format!(".select('{}')", text.shown());
        let fix = "Write columns and tables as in `id, name, owner(id)`.".to_owned();
        self.findings.add(INVALID_SELECT, site, &table.name.to_string(), (message, call, fix));
        Vec::new()
    }

    fn items(&mut self, site: Site<'_>, found: &Found<'r>, items: &[Item]) {
        for item in items {
            match item {
                Item::All | Item::Count => {}
                // `count` counts, too, where there is no such column.
                Item::Column(name) if name == "count" => {}
                Item::Column(name) => {
                    self.column(site, found, name, &format!(".select('… {} …')", shown(name)));
                }
                Item::Embed(embed) => {
                    if let Some(target) = self.embed(site, found, embed) {
                        self.items(site, &target, &embed.items);
                    }
                }
            }
        }
    }

    fn embed(&mut self, site: Site<'_>, found: &Found<'r>, embed: &Embed) -> Option<Found<'r>> {
        let fault = match self.lookup.embedded(found, embed) {
            Ok(target) => return target,
            Err(fault) => fault,
        };
        let table = found.table()?;
        let relation = shown(&embed.relation);
        let object = format!("{}({relation})", table.name);
        let call = format!(".select('… {relation}(…) …')");
        let (kind, message, fix) = match fault {
            Fault::NoWay(name) => {
                let related = self.lookup.related(table);
                let fix = nearest(&name, related.iter().map(String::as_str)).map_or_else(
                    || {
                        "Add a foreign key between the tables, or ask for the rows by themselves."
                            .to_owned()
                    },
                    |near| format!("Did you mean `{near}`?"),
                );
                let message = format!("No foreign key leads from {} to `{relation}`.", table.name);
                (UNKNOWN_RELATIONSHIP, message, fix)
            }
            Fault::WrongHint(ways) => {
                let hint = embed.hint.as_deref().map(shown).unwrap_or_default();
                let message =
                    format!("No foreign key `{hint}` leads from {} to `{relation}`.", table.name);
                (UNKNOWN_RELATIONSHIP, message, format!("Write {}.", hints(&relation, &ways)))
            }
            Fault::Ambiguous(ways) => {
                let message = format!(
                    "Several ways lead from {} to `{relation}`: {}.",
                    table.name,
                    ways.join(", ")
                );
                (AMBIGUOUS_RELATIONSHIP, message, format!("Write {}.", hints(&relation, &ways)))
            }
        };
        self.findings.add(kind, site, &object, (message, call, fix));
        None
    }

    /// The table that a filter on embedded rows means. `None` where that is not known.
    fn reached(&self, found: &Found<'r>, embeds: &[Item], way: &[String]) -> Option<Found<'r>> {
        let Some((name, rest)) = way.split_first() else { return Some(found.clone()) };
        let embed = embed_of(embeds, name)?;
        let target = self.lookup.embedded(found, embed).ok().flatten()?;
        self.reached(&target, &embed.items, rest)
    }

    /// Reports a column that none of the tables has.
    fn column(&mut self, site: Site<'_>, found: &Found<'r>, column: &str, call: &str) {
        let Some(table) = found.table().filter(|_| !column.contains(OPEN)) else { return };
        if self.lookup.has(found, column) {
            return;
        }
        let columns = table.columns.iter().map(|it| it.name.as_str());
        let fix = nearest(column, columns).map_or_else(
            || "Add the column in a migration, or correct the name.".to_owned(),
            |near| format!("Did you mean `{near}`? If not, add the column in a migration."),
        );
        let object = format!("{}.{}", table.name, quoted(column));
        let message = format!("{} has no column `{column}`.", table.name);
        self.findings.add(UNKNOWN_COLUMN, site, &object, (message, call.to_owned(), fix));
    }

    fn keys(&mut self, site: Site<'_>, found: &Found<'r>, keys: &Keys, verb: &str) {
        for Key { name: key, line, values } in &keys.list {
            let site = Site { line: *line, ..site };
            let call = format!(".{verb}({{ {key} }})");
            self.column(site, found, key, &call);
            self.values(site, found, key, values);
            let Some(table) = found.table() else { return };
            let column = table.columns.iter().find(|it| it.name == *key);
            let is_made = column.is_some_and(|it| {
                it.generated.is_some() || it.identity.as_deref() == Some("always")
            });
            if is_made {
                let object = format!("{}.{}", table.name, quoted(key));
                let message = format!("{object} is generated always and takes no value.");
                let fix = format!("Leave `{key}` out.");
                self.findings.add(GENERATED_COLUMN, site, &object, (message, call, fix));
            }
        }
    }

    fn on_conflict(&mut self, site: Site<'_>, found: &Found<'r>, columns: &Text) {
        let Some(literal) = columns.literal() else {
            return self.cannot_tell(site, "the columns of onConflict");
        };
        let call = format!("onConflict: '{literal}'");
        let names: Vec<&str> =
            literal.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
        for name in &names {
            self.column(site, found, name, &call);
        }
        let Some(table) = found.table().filter(|it| !it.is_view) else { return };
        let all_there = names.iter().all(|name| self.lookup.has(found, name));
        let fits = found.tables().iter().flat_map(|it| &it.indexes).any(|index| {
            let columns = &index.columns;
            index.unique
                && names.iter().all(|name| columns.iter().any(|it| it == name))
                && columns.iter().all(|it| names.contains(&it.as_str()))
        });
        if fits || !all_there || names.is_empty() {
            return;
        }
        let list: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        let object = format!("{} ({})", table.name, list.join(", "));
        let message =
            format!("{} has no unique key of the columns {}.", table.name, list.join(", "));
        let unique = table.indexes.iter().filter(|index| index.unique);
        let known: Vec<String> = unique.map(|index| index.columns.join(",")).collect();
        let fix = if known.is_empty() {
            format!("create unique index on {} ({});", table.name, list.join(", "))
        } else {
            format!(
                "Name the columns of a unique key ({}), or add one in a migration.",
                known.join("; ")
            )
        };
        self.findings.add(NO_UNIQUE_KEY, site, &object, (message, call, fix));
    }
}

/// What `select` embeds by that name.
fn embed_of<'i>(items: &'i [Item], name: &str) -> Option<&'i Embed> {
    items.iter().find_map(|item| match item {
        Item::Embed(embed) => Some(embed).filter(|embed| embed.is_called(name)),
        Item::All | Item::Count | Item::Column(_) => None,
    })
}

/// Whether a name at the end of a way is that of embedded rows.
fn is_embedded(items: &[Item], way: &[String], name: &str) -> bool {
    match way.split_first() {
        Some((first, rest)) => {
            embed_of(items, first).is_some_and(|embed| is_embedded(&embed.items, rest, name))
        }
        None => embed_of(items, name).is_some(),
    }
}

/// How a request says which way it means.
fn hints(relation: &str, ways: &[String]) -> String {
    let hints: Vec<String> = ways.iter().map(|way| format!("`{relation}!{way}(…)`")).collect();
    hints.join(" or ")
}

/// For messages about functions.
pub(super) fn first_name(schemas: &[String], name: &str) -> Name {
    Name::new(schemas.first().map_or("public", String::as_str), name)
}
