//! What a file asks of the database: the calls of a Supabase client, and what is chained to them.

use std::collections::BTreeSet;

use oxc_ast::AstKind;
use oxc_ast::ast::{Argument, CallExpression, Expression, ObjectExpression, ObjectPropertyKind};
use oxc_span::GetSpan;
use oxc_syntax::node::NodeId;
use oxc_syntax::symbol::SymbolId;

use super::grammar;
use super::literals::literals;
use super::module::{Context, Module, makes_client};
use super::receiver::{Receiver, Receivers};
use super::text::{Text, Value};

/// One call of a client, with what is chained to it.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) line: usize,
    /// Whether it is a client's call for sure.
    pub(super) is_certain: bool,
    /// What the call says that makes its client, where that call is known.
    pub(super) client: Option<ClientSchema>,
    pub(super) target: Target,
    pub(super) steps: Vec<Step>,
}

/// The schema of a client; `None`: that of the API.
#[derive(Debug)]
pub(super) struct ClientSchema(pub(super) Option<Text>);

/// What a call is about. Without a schema it is one of the API's.
#[derive(Debug)]
pub(super) enum Target {
    /// `from('table')`
    Table { schema: Option<Text>, name: Text },
    /// `rpc('function', {…})`
    Function { schema: Option<Text>, name: Text, arguments: Keys },
    /// `storage.from('bucket')`
    Bucket(Text),
    /// `on('postgres_changes', {…})`
    Changes { schema: Option<Text>, table: Text, filter: Option<Text> },
}

/// What is chained to a call.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) what: Operation,
}

#[derive(Debug)]
pub(super) enum Operation {
    Select(Text),
    Insert(Keys),
    Update(Keys),
    OnConflict(Text),
    /// A filter or an order. `of` is an embedded table.
    Column {
        name: Text,
        of: Option<Text>,
        /// Whether it asks for `null`, as embedded rows may be asked for, too.
        is_null_test: bool,
        /// What it is compared with, as far as that is known.
        values: Vec<String>,
    },
    /// The conditions of `or`.
    Conditions {
        text: Text,
        of: Option<Text>,
    },
}

/// The keys of an object.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) list: Vec<Key>,
    /// Whether these are all.
    pub(super) complete: bool,
}

/// A key of an object, and the texts that it may have.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) values: Vec<String>,
}

const TABLE_STEPS: [&str; 5] = ["select", "insert", "upsert", "update", "delete"];
const BUCKET_STEPS: [&str; 13] = [
    "upload",
    "uploadToSignedUrl",
    "download",
    "getPublicUrl",
    "createSignedUrl",
    "createSignedUrls",
    "createSignedUploadUrl",
    "list",
    "remove",
    "move",
    "copy",
    "exists",
    "info",
];
const FILTERS: [&str; 30] = [
    "eq",
    "neq",
    "gt",
    "gte",
    "lt",
    "lte",
    "like",
    "likeAllOf",
    "likeAnyOf",
    "ilike",
    "ilikeAllOf",
    "ilikeAnyOf",
    "regexMatch",
    "regexIMatch",
    "is",
    "isDistinct",
    "in",
    "notIn",
    "contains",
    "containedBy",
    "rangeGt",
    "rangeGte",
    "rangeLt",
    "rangeLte",
    "rangeAdjacent",
    "overlaps",
    "textSearch",
    "not",
    "filter",
    "order",
];
/// Filters that compare with values of the column's type.
const COMPARISONS: [&str; 9] = ["eq", "neq", "gt", "gte", "lt", "lte", "isDistinct", "in", "notIn"];
/// Variables that hold a request in a row.
const DEEPEST: usize = 8;

/// Everything that the file asks of the database, in its order.
pub(super) fn find(module: &Module<'_>, context: Context<'_, '_>) -> Vec<Use> {
    let finder = Finder { module, context, receivers: Receivers::of(module, context) };
    module
        .semantic
        .nodes()
        .iter()
        .filter_map(|node| finder.use_of(node.kind().as_call_expression()?))
        .collect()
}

/// The schemas that clients are made for.
pub(super) fn client_schemas(module: &Module<'_>, context: Context<'_, '_>) -> BTreeSet<String> {
    let of_call = |call: &CallExpression<'_>| {
        let makes_client = call.callee_name().is_some_and(makes_client);
        let schema = module.client_schema(&call.arguments, context).filter(|_| makes_client)?;
        schema.literal().map(ToOwned::to_owned)
    };
    module
        .semantic
        .nodes()
        .iter()
        .filter_map(|node| of_call(node.kind().as_call_expression()?))
        .collect()
}

struct Finder<'m, 'a, 'c, 'p> {
    module: &'m Module<'a>,
    context: Context<'c, 'p>,
    receivers: Receivers<'m, 'a, 'c, 'p>,
}

impl<'a> Finder<'_, 'a, '_, '_> {
    fn use_of(&self, call: &'a CallExpression<'a>) -> Option<Use> {
        let Expression::StaticMemberExpression(member) = call.callee.get_inner_expression() else {
            return None;
        };
        let first = call.arguments.first().and_then(Argument::as_expression)?;
        let method = member.property.name.as_str();
        if !matches!(method, "from" | "rpc" | "on") {
            return None;
        }
        let (object, schema) = self.schema(&member.object);
        let name = || self.module.value(first, self.context).into_text();
        let receiver = self.receivers.receiver(object, 0);
        let target = match method {
            "from" => match receiver {
                Receiver::Other => return None,
                Receiver::Storage => Target::Bucket(name()),
                Receiver::Client | Receiver::Likely | Receiver::Unknown => {
                    let next = self.next(call.node_id.get()).map_or("", |(name, _)| name);
                    if TABLE_STEPS.contains(&next)
                        || receiver == Receiver::Client && !BUCKET_STEPS.contains(&next)
                    {
                        Target::Table { schema, name: name() }
                    } else if BUCKET_STEPS.contains(&next) {
                        Target::Bucket(name())
                    } else {
                        return None;
                    }
                }
            },
            "rpc" => {
                let is_client = receiver.is_certain()
                    || receiver == Receiver::Unknown && self.receivers.knows_client;
                let arguments = call.arguments.get(1);
                // Other protocols are called so too, with a list.
                if !is_client || matches!(arguments, Some(Argument::ArrayExpression(_))) {
                    return None;
                }
                let arguments = arguments.map_or_else(
                    || Keys { complete: true, ..Keys::default() },
                    |given| {
                        given.as_expression().map(|given| self.keys(given, 0)).unwrap_or_default()
                    },
                );
                Target::Function { schema, name: name(), arguments }
            }
            _ => return self.changes(call, first),
        };
        let client = match self.module.value(object, self.context) {
            Value::Client(schema) => Some(ClientSchema(schema)),
            Value::Text(_) | Value::Object(_) | Value::Function(_) | Value::Unknown => None,
        };
        let mut steps = Vec::new();
        self.add_steps(call.node_id.get(), &mut steps, 0);
        let (line, is_certain) = (self.line(call), receiver.is_certain());
        Some(Use { line, is_certain, client, target, steps })
    }

    /// A table's changes, by Realtime.
    fn changes(&self, call: &CallExpression<'a>, first: &Expression<'a>) -> Option<Use> {
        let is_changes = self.module.value(first, self.context).into_text();
        if is_changes.literal() != Some("postgres_changes") {
            return None;
        }
        let options = call.arguments.get(1)?.as_expression()?;
        let Value::Object(mut options) = self.module.value(options, self.context) else {
            return None;
        };
        let table = options.remove("table")?.into_text();
        let schema = options.remove("schema").map(Value::into_text);
        let filter = options.remove("filter").map(Value::into_text);
        let target = Target::Changes { schema, table, filter };
        let line = self.line(call);
        Some(Use { line, is_certain: true, client: None, target, steps: Vec::new() })
    }

    fn line(&self, of: &CallExpression<'a>) -> usize {
        // A chain begins lines above; its name stands at the end of the callee.
        self.module.line(of.callee.span().end)
    }

    /// What `.schema('x')` is called on, and the schema; also where a variable holds that.
    fn schema<'n>(&'n self, object: &'n Expression<'a>) -> (&'n Expression<'a>, Option<Text>) {
        let held = self.module.init(object).unwrap_or(object);
        for given in [object, held] {
            if let Expression::CallExpression(call) = given.get_inner_expression()
                && let Expression::StaticMemberExpression(member) =
                    call.callee.get_inner_expression()
                && member.property.name == "schema"
            {
                let given = call.arguments.first().and_then(Argument::as_expression);
                let schema = given.map(|given| self.module.value(given, self.context).into_text());
                return (&member.object, schema.or_else(|| Some(Text::open())));
            }
        }
        (object, None)
    }

    /// The method that is called on an expression, and that call.
    fn next(&self, of: NodeId) -> Option<(&'a str, &'a CallExpression<'a>)> {
        let nodes = self.module.semantic.nodes();
        let mut around = nodes.ancestors(of).filter(|node| !is_wrapper(node.kind()));
        let member = around.next()?.kind().as_static_member_expression()?;
        let call = around.next()?.kind().as_call_expression()?;
        let is_callee = call.callee.span().contains_inclusive(member.span);
        is_callee.then_some((member.property.name.as_str(), call))
    }

    /// What is chained to an expression, and to the variable that holds it.
    fn add_steps(&self, of: NodeId, steps: &mut Vec<Step>, depth: usize) {
        let mut last = of;
        while let Some((name, call)) = self.next(last) {
            self.add_step(name, call, steps);
            last = call.node_id.get();
        }
        let nodes = self.module.semantic.nodes();
        let mut around = nodes.ancestor_kinds(last).filter(|kind| !is_wrapper(*kind));
        let Some(variable) = around.next().and_then(AstKind::as_variable_declarator) else {
            return;
        };
        let Some(symbol) =
            variable.id.get_binding_identifier().and_then(|name| name.symbol_id.get())
        else {
            return;
        };
        if depth < DEEPEST && variable.id.is_binding_identifier() && self.holds_one_request(symbol)
        {
            for reference in self.module.semantic.symbol_references(symbol) {
                self.add_steps(reference.node_id(), steps, depth + 1);
            }
        }
    }

    /// Whether a variable is only ever given what is chained to itself: `query = query.eq(…)`.
    fn holds_one_request(&self, symbol: SymbolId) -> bool {
        let nodes = self.module.semantic.nodes();
        let mut writes = self.module.semantic.symbol_references(symbol).filter(|it| it.is_write());
        writes.all(|write| {
            let assigned = nodes.parent_kind(write.node_id()).as_assignment_expression();
            assigned.is_some_and(|assigned| {
                self.module.symbol_of(root(&assigned.right)) == Some(symbol)
            })
        })
    }

    fn add_step(&self, name: &str, call: &CallExpression<'a>, steps: &mut Vec<Step>) {
        let argument = |index: usize| call.arguments.get(index).and_then(Argument::as_expression);
        let text = |expression| self.module.value(expression, self.context).into_text();
        let line = argument(0)
            .map_or_else(|| self.line(call), |first| self.module.line(first.span().start));
        let mut add = |what| steps.push(Step { line, what });
        let Some(first) = argument(0) else { return };
        let option = |index: usize, names: &[&str]| {
            let options = self.module.value(argument(index)?, self.context);
            names.iter().find_map(|name| match options.property(name) {
                Value::Text(text) => Some(text),
                Value::Object(_) | Value::Function(_) | Value::Client(_) | Value::Unknown => None,
            })
        };
        let referenced = ["referencedTable", "foreignTable"];
        match name {
            "select" => add(Operation::Select(text(first))),
            "insert" => add(Operation::Insert(self.keys(first, 0))),
            "update" => add(Operation::Update(self.keys(first, 0))),
            "upsert" => {
                add(Operation::Insert(self.keys(first, 0)));
                if let Some(columns) = option(1, &["onConflict"]) {
                    add(Operation::OnConflict(columns));
                }
            }
            "or" => add(Operation::Conditions { text: text(first), of: option(1, &referenced) }),
            "match" => {
                for Key { name, values, .. } in self.keys(first, 0).list {
                    let name = Text::known(&name);
                    add(Operation::Column { name, of: None, is_null_test: false, values });
                }
            }
            "order" => {
                let of = option(1, &referenced);
                let (name, values) = (text(first), Vec::new());
                add(Operation::Column { name, of, is_null_test: false, values });
            }
            _ if FILTERS.contains(&name) => {
                let operator = argument(1).map(text).unwrap_or_default();
                let operator = operator.literal();
                let is_null_test = match name {
                    "is" => true,
                    "not" => operator == Some("is"),
                    "filter" => matches!(operator, Some("is" | "not.is")),
                    _ => false,
                };
                let values = match name {
                    "not" | "filter" => {
                        let value = argument(2).map_or_else(Text::open, text).marked();
                        grammar::operands(&format!("{}.{value}", operator.unwrap_or_default()))
                    }
                    _ if COMPARISONS.contains(&name) => {
                        let given = argument(1);
                        given.map(|it| literals(self.module, it, self.context)).unwrap_or_default()
                    }
                    _ => Vec::new(),
                };
                add(Operation::Column { name: text(first), of: None, is_null_test, values });
            }
            _ => {}
        }
    }

    /// Of an object, of all objects in a list, or of what a function makes of each element of a list.
    fn keys(&self, expression: &Expression<'a>, depth: usize) -> Keys {
        let expression = expression.get_inner_expression();
        if depth > DEEPEST {
            return Keys::default();
        }
        if let Expression::ObjectExpression(object) = expression {
            return self.keys_of(object, depth);
        }
        if let Expression::ArrayExpression(list) = expression {
            let mut all = Keys { complete: true, ..Keys::default() };
            for element in &list.elements {
                let keys = element.as_expression().map(|element| self.keys(element, depth + 1));
                all.add(keys.unwrap_or_default());
            }
            return all;
        }
        if let Expression::CallExpression(call) = expression {
            return self.keys_of_map(call, depth).unwrap_or_default();
        }
        let Some(symbol) = self.module.symbol_of(expression) else { return Keys::default() };
        let declared = self.module.semantic.symbol_declaration(symbol).kind();
        let variable = declared.as_variable_declarator().filter(|it| it.id.is_binding_identifier());
        let is_fixed = !self.module.semantic.scoping().symbol_is_mutated(symbol);
        let init = variable.filter(|_| is_fixed).and_then(|variable| variable.init.as_ref());
        let keys = init.map(|init| self.keys(init, depth + 1)).unwrap_or_default();
        // Somebody may add to an object that has a name, or give it other values.
        let is_used_once = self.module.semantic.symbol_references(symbol).count() == 1;
        keys.of_variable(is_used_once)
    }

    fn keys_of(&self, object: &ObjectExpression<'a>, depth: usize) -> Keys {
        let mut keys = Keys { complete: true, ..Keys::default() };
        for property in &object.properties {
            match property {
                ObjectPropertyKind::ObjectProperty(property) => match property.key.static_name() {
                    Some(name) => keys.list.push(Key {
                        name: name.into_owned(),
                        line: self.module.line(property.span.start),
                        values: literals(self.module, &property.value, self.context),
                    }),
                    None => keys.complete = false,
                },
                ObjectPropertyKind::SpreadProperty(spread) => {
                    keys.add(self.keys(&spread.argument, depth + 1));
                }
            }
        }
        keys
    }

    /// `list.map((x) => ({…}))`
    fn keys_of_map(&self, call: &CallExpression<'a>, depth: usize) -> Option<Keys> {
        let Expression::StaticMemberExpression(member) = call.callee.get_inner_expression() else {
            return None;
        };
        let function =
            call.arguments.first().filter(|_| member.property.name == "map")?.as_expression()?;
        let Expression::ArrowFunctionExpression(function) = function.get_inner_expression() else {
            return None;
        };
        Some(self.keys(function.get_expression()?, depth + 1))
    }
}

impl Keys {
    fn add(&mut self, more: Self) {
        self.complete &= more.complete;
        self.list.extend(more.list);
    }

    fn of_variable(mut self, is_used_once: bool) -> Self {
        self.complete = false;
        for key in self.list.iter_mut().filter(|_| !is_used_once) {
            key.values.clear();
        }
        self
    }
}

/// What a chain begins with.
fn root<'n, 'a>(mut expression: &'n Expression<'a>) -> &'n Expression<'a> {
    loop {
        expression = expression.get_inner_expression();
        expression = if let Expression::CallExpression(call) = expression {
            &call.callee
        } else if let Expression::StaticMemberExpression(member) = expression {
            &member.object
        } else {
            return expression;
        };
    }
}

fn is_wrapper(kind: AstKind<'_>) -> bool {
    matches!(
        kind,
        AstKind::ParenthesizedExpression(_)
            | AstKind::ChainExpression(_)
            | AstKind::TSNonNullExpression(_)
            | AstKind::TSAsExpression(_)
            | AstKind::TSSatisfiesExpression(_)
            | AstKind::TSTypeAssertion(_)
    )
}
