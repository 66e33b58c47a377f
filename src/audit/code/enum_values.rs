//! Values that code gives to columns and arguments of an enum.

use super::check::Checker;
use super::findings::{Site, UNKNOWN_ENUM_VALUE};
use super::grammar::OPEN;
use super::lookup::Found;
use super::uses::{Key, Keys};
use crate::audit::relations::{Enum, Function, Table};
use crate::audit::similar::nearest;
use crate::sql_text::quoted;

impl Checker<'_> {
    /// Reports the values that the enum of a column lacks. Of several tables each has to lack it.
    pub(super) fn values(
        &mut self,
        site: Site<'_>,
        found: &Found<'_>,
        column: &str,
        values: &[String],
    ) {
        let named = |table: &&Table| {
            table.columns.iter().find(|it| it.name == column).map(|it| it.r#enum.clone())
        };
        let enums: Option<Vec<Enum>> = found.tables().iter().filter_map(named).collect();
        let Some(table) = found.table() else { return };
        let whose = format!("{}.{}", table.name, quoted(column));
        self.lacking(site, &enums.unwrap_or_default(), values, &whose);
    }

    /// Reports the values that the enums of arguments lack. Of several functions each has to lack it.
    pub(super) fn arguments(&mut self, site: Site<'_>, functions: &[&Function], given: &Keys) {
        for Key { name, line, values } in &given.list {
            let arguments = functions.iter().flat_map(|function| &function.arguments);
            let named = arguments.filter(|argument| argument.name == *name);
            let enums: Option<Vec<Enum>> = named.map(|argument| argument.r#enum.clone()).collect();
            let whose = format!("the argument {name}");
            let site = Site { line: *line, ..site };
            self.lacking(site, &enums.unwrap_or_default(), values, &whose);
        }
    }

    fn lacking(&mut self, site: Site<'_>, enums: &[Enum], values: &[String], whose: &str) {
        let Some(first) = enums.first() else { return };
        for value in values.iter().filter(|value| !value.contains(OPEN)) {
            let has = |label: &String| label == value || without_blanks(label) == *value;
            if enums.iter().flat_map(|it| &it.labels).any(has) {
                continue;
            }
            let near = nearest(value, first.labels.iter().map(String::as_str));
            let near = near.map(|near| format!("Did you mean `{near}`? ")).unwrap_or_default();
            let list: Vec<String> = first.labels.iter().map(|it| format!("`{it}`")).collect();
            let fix = format!("{near}The values are {}.", list.join(", "));
            let message = format!("`{value}` is no value of {}, the type of {whose}.", first.name);
            let object = format!("{}.{}", first.name, quoted(value));
            let call = format!("{whose}: '{value}'");
            self.findings.add(UNKNOWN_ENUM_VALUE, site, &object, (message, call, fix));
        }
    }
}

/// As a condition of `or` has it, of which the grammar leaves out blanks.
fn without_blanks(label: &str) -> String {
    label.split_whitespace().collect()
}
