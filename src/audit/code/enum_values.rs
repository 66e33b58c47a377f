//! Values that code gives to columns and arguments of an enum.

use oxc_ast::ast::Expression;

use super::check::Checker;
use super::findings::{Site, UNKNOWN_ENUM_VALUE};
use super::grammar::OPEN;
use super::lookup::Found;
use super::module::{Context, Module};
use super::uses::{Key, Keys};
use crate::audit::relations::{Enum, Function, Table};
use crate::audit::similar::nearest;
use crate::sql_text::quoted;

/// Choices within choices, and lists in variables.
const DEEPEST: usize = 8;

/// The texts that an expression may come to, as far as they are known: also those of a choice and of a list.
pub(super) fn literals<'a>(
    module: &Module<'a>,
    expression: &Expression<'a>,
    context: Context<'_, '_>,
) -> Vec<String> {
    let mut found = Vec::new();
    collect(module, expression, context, DEEPEST, &mut found);
    found
}

fn collect<'a>(
    module: &Module<'a>,
    expression: &Expression<'a>,
    context: Context<'_, '_>,
    depth: usize,
    found: &mut Vec<String>,
) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let mut add = |expression| collect(module, expression, context, depth, found);
    let expression = expression.get_inner_expression();
    if let Expression::ConditionalExpression(choice) = expression {
        add(&choice.consequent);
        add(&choice.alternate);
    } else if let Expression::LogicalExpression(choice) = expression {
        add(&choice.left);
        add(&choice.right);
    } else if let Expression::ArrayExpression(list) = expression {
        list.elements.iter().filter_map(|element| element.as_expression()).for_each(add);
    } else if let Some(text) = module.value(expression, context).into_text().literal() {
        found.push(text.to_owned());
    } else if let Some(list @ Expression::ArrayExpression(_)) = constant(module, expression) {
        add(list);
    }
}

/// What a variable holds that is never given anything else.
fn constant<'n, 'a>(module: &'n Module<'a>, name: &Expression<'a>) -> Option<&'n Expression<'a>> {
    let is_mutated = module.semantic.scoping().symbol_is_mutated(module.symbol_of(name)?);
    let held = module.held(name).filter(|_| !is_mutated)?;
    Some(held.get_inner_expression())
}

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
