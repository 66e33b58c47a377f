//! Compares calls of functions with the functions that are there.

use std::slice;

use super::check::{Checker, first_name};
use super::findings::{MISSING_ARGUMENT, Site, UNKNOWN_ARGUMENT, UNKNOWN_FUNCTION};
use super::lookup::Found;
use super::uses::Keys;
use crate::audit::platform::PLATFORM;
use crate::audit::relations::{Function, Name};
use crate::audit::similar::nearest;

/// What keeps a function from taking a call.
#[derive(Default)]
struct Mismatch<'f> {
    /// That it does not have.
    unknown: Vec<&'f str>,
    /// That it needs.
    missing: Vec<&'f str>,
}

impl<'r> Checker<'r> {
    /// The table whose rows the function returns, if they are some table's.
    pub(super) fn function(
        &mut self,
        site: Site<'_>,
        schemas: &[String],
        name: &str,
        arguments: &Keys,
    ) -> Option<Found<'r>> {
        let lookup = self.lookup;
        let named =
            schemas.iter().map(|schema| lookup.relations.functions(&Name::new(schema, name)));
        let functions: Vec<&Function> = named.flatten().collect();
        if functions.is_empty() {
            self.unknown_function(site, schemas, name);
            return None;
        }
        let mismatches = functions.iter().map(|function| mismatch(function, arguments));
        let best = mismatches.min_by_key(|it| it.unknown.len() + it.missing.len())?;
        let function = first_name(schemas, name);
        let signatures: Vec<String> =
            functions.iter().map(|function| signature(function)).collect();
        let evidence = |argument: &str| format!(".rpc('{name}', {{ {argument} }})");
        // One with another name is told once.
        let renamed = best.unknown.len();
        for argument in best.unknown {
            let known = functions.iter().flat_map(|it| &it.arguments).map(|it| it.name.as_str());
            let fix = nearest(argument, known).map_or_else(
                || format!("The function is {}.", signatures.join(" or ")),
                |near| {
                    format!("Did you mean `{near}`? The function is {}.", signatures.join(" or "))
                },
            );
            let key = arguments.list.iter().find(|key| key.name == argument);
            let site = Site { line: key.map_or(site.line, |key| key.line), ..site };
            let message = format!("The function {function} has no argument `{argument}`.");
            let object = format!("{function}({argument})");
            self.findings.add(UNKNOWN_ARGUMENT, site, &object, (message, evidence(argument), fix));
        }
        for argument in best.missing.into_iter().skip(renamed) {
            let message = format!("The function {function} needs the argument `{argument}`.");
            let fix = format!("Give it: the function is {}.", signatures.join(" or "));
            let object = format!("{function}({argument})");
            self.findings.add(MISSING_ARGUMENT, site, &object, (message, evidence("…"), fix));
        }
        self.arguments(site, &functions, arguments);
        let rows = functions.iter().find_map(|function| function.returns_row_of.as_ref())?;
        let table = lookup.named(rows)?;
        lookup.certain(slice::from_ref(&table.name.schema), &table.name.name)
    }

    fn unknown_function(&mut self, site: Site<'_>, schemas: &[String], name: &str) {
        let function = first_name(schemas, name);
        let names = self.lookup.relations.function_names();
        let names: Vec<&Name> = names.collect();
        let mut others = names.iter().filter(|it| !PLATFORM.contains(&it.schema.as_str()));
        let elsewhere = others.find(|it| it.name == name);
        let own = names.iter().filter(|it| schemas.contains(&it.schema)).map(|it| it.name.as_str());
        let fix = if let Some(there) = elsewhere {
            format!("{there} is there: write .schema('{}') before .rpc().", there.schema)
        } else if let Some(near) = nearest(name, own) {
            format!("Did you mean `{near}`? If not, create the function in a migration.")
        } else {
            "Create the function in a migration, or correct the name.".to_owned()
        };
        let site = Site { is_certain: site.is_certain && elsewhere.is_none(), ..site };
        let message = format!("Schema {} has no function `{name}`.", function.schema);
        let call = format!(".rpc('{name}')");
        self.findings.add(UNKNOWN_FUNCTION, site, &function.to_string(), (message, call, fix));
    }
}

fn mismatch<'f>(function: &'f Function, given: &'f Keys) -> Mismatch<'f> {
    // The body of the request goes to an only argument that has no name.
    if let [only] = function.arguments.as_slice()
        && only.name.is_empty()
    {
        return Mismatch::default();
    }
    let has = |name: &str| function.arguments.iter().any(|it| it.name == name);
    let is_given = |name: &str| given.list.iter().any(|key| key.name == name);
    let unknown = given.list.iter().map(|key| key.name.as_str()).filter(|key| !has(key));
    let needed = function.arguments.iter().filter(|it| !it.has_default && given.complete);
    let missing = needed.map(|it| it.name.as_str()).filter(|name| !is_given(name));
    let mut mismatch = Mismatch { unknown: unknown.collect(), missing: missing.collect() };
    if function.is_variadic
        && let Some(last) = function.arguments.last()
    {
        mismatch.missing.retain(|name| *name != last.name);
    }
    mismatch
}

fn signature(function: &Function) -> String {
    let arguments = function.arguments.iter().map(|argument| {
        let optional = if argument.has_default { " default …" } else { "" };
        format!("{} {}{optional}", argument.name, argument.r#type).trim_start().to_owned()
    });
    format!("{}({})", function.name, arguments.collect::<Vec<_>>().join(", "))
}
