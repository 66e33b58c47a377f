//! The texts that an expression may come to.

use oxc_ast::ast::Expression;

use super::module::{Context, Module};

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
