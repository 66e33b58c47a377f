//! One file: its syntax tree, and what its constants come to.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use oxc_allocator::Allocator;
use oxc_ast::AstKind;
use oxc_ast::ast::{
    Argument, ArrowFunctionExpression, Class, ClassElement, Expression, FormalParameters, Function,
    ObjectExpression, ObjectPropertyKind, PropertyDefinition, Statement,
};
use oxc_parser::{Parser, ParserReturn};
use oxc_semantic::{Semantic, SemanticBuilder};
use oxc_span::LabeledSpan;
use oxc_syntax::module_record::{
    ExportExportName, ExportImportName, ExportLocalName, ImportImportName, ModuleRecord,
};
use oxc_syntax::node::NodeId;
use oxc_syntax::operator::BinaryOperator;
use oxc_syntax::symbol::SymbolId;

use super::files::File;
use super::project::{Exports, Project};
use super::text::{Text, Value};
use super::{component, nesting};

/// Constants that are made of each other in a row.
const DEEPEST: usize = 32;

/// One file, parsed.
pub(super) struct Module<'a> {
    pub(super) path: &'a Path,
    pub(super) semantic: Semantic<'a>,
    record: ModuleRecord<'a>,
    lines: Vec<usize>,
}

/// Why a file cannot be read: a line, and the parser's words.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) message: String,
}

/// What is known while an expression is worked out.
#[derive(Clone, Copy)]
pub(super) struct Context<'c, 'p> {
    pub(super) project: &'c Project<'p>,
    /// Of the function whose text is put together.
    parameters: &'c [SymbolId],
    depth: usize,
    /// Of modules.
    modules: usize,
}

impl<'c, 'p> Context<'c, 'p> {
    pub(super) fn new(project: &'c Project<'p>) -> Self {
        Self { project, parameters: &[], depth: 0, modules: 0 }
    }

    fn deeper(self) -> Option<Self> {
        (self.depth < DEEPEST).then_some(Self { depth: self.depth + 1, ..self })
    }
}

impl<'a> Module<'a> {
    /// Parses a file and hands it to `then`. The tree is gone afterwards.
    pub(super) fn read<T>(
        path: &Path,
        text: &str,
        then: impl FnOnce(&Module<'_>) -> T,
    ) -> Result<T, SyntaxError> {
        let (text, kind) = component::code(path, text);
        if let Some(line) = nesting::too_deep(&text) {
            return Err(SyntaxError { line, message: "it is nested too deep".to_owned() });
        }
        let lines: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let allocator = Allocator::default();
        let ParserReturn { program, module_record, diagnostics, panicked, .. } =
            Parser::new(&allocator, &text, kind).parse();
        if panicked {
            let first = diagnostics.iter().next();
            let at = first.and_then(|error| error.labels.first()).map_or(0, LabeledSpan::offset);
            let message = first.map_or_else(String::new, |error| error.message.to_string());
            return Err(SyntaxError {
                line: line(&lines, usize::try_from(at).unwrap_or_default()),
                message,
            });
        }
        let semantic = SemanticBuilder::new().with_build_nodes(true).build(&program).semantic;
        Ok(then(&Module { path, semantic, record: module_record, lines }))
    }

    /// What a file exports; nothing where it cannot be read or parsed.
    pub(super) fn exports_of(
        project: &Project<'_>,
        file: &File,
        modules: usize,
    ) -> Option<Exports> {
        let text = fs::read_to_string(&file.path).ok()?;
        Module::read(&file.path, &text, |module| module.exports(project, modules)).ok()
    }

    /// Counts from 1.
    pub(super) fn line(&self, at: u32) -> usize {
        line(&self.lines, usize::try_from(at).unwrap_or(usize::MAX))
    }

    /// Each with its first line.
    pub(super) fn comments(&self) -> impl Iterator<Item = (usize, &'a str)> {
        let text = self.semantic.source_text();
        let comments = self.semantic.comments().iter().map(|comment| comment.span);
        comments.map(move |span| (self.line(span.start), span.source_text(text)))
    }

    /// What others get from it.
    fn exports(&self, project: &Project<'_>, modules: usize) -> Exports {
        let context = Context { modules, ..Context::new(project) };
        let from =
            |module: &str, name: Option<&str>| project.import(self.path, module, name, modules);
        let mut exports = Exports::new();
        for star in &self.record.star_export_entries {
            let Some(module) = &star.module_request else { continue };
            if let Value::Object(all) = from(module.name.as_str(), None) {
                exports.extend(all.into_iter().filter(|(name, _)| name != "default"));
            }
        }
        for entry in &self.record.indirect_export_entries {
            let Some(module) = &entry.module_request else { continue };
            let name = match &entry.import_name {
                ExportImportName::Name(name) => Some(name.name.as_str()),
                ExportImportName::All
                | ExportImportName::AllButDefault
                | ExportImportName::Null => None,
            };
            exports.extend(
                exported(&entry.export_name).map(|as_| (as_, from(module.name.as_str(), name))),
            );
        }
        for entry in &self.record.local_export_entries {
            let local = match &entry.local_name {
                ExportLocalName::Name(name) | ExportLocalName::Default(name) => name.name,
                ExportLocalName::Null => continue,
            };
            let symbol = self.semantic.scoping().get_root_binding(local.into());
            let value = symbol.map(|symbol| self.symbol(symbol, context)).unwrap_or_default();
            exports.extend(exported(&entry.export_name).map(|name| (name, value)));
        }
        exports.extend(self.default_export(context).map(|value| ("default".to_owned(), value)));
        exports
    }

    fn default_export(&self, context: Context<'_, '_>) -> Option<Value> {
        self.semantic.nodes().iter().find_map(|node| {
            let default = node.kind().as_export_default_declaration()?;
            Some(self.value(default.declaration.as_expression()?, context))
        })
    }

    /// What an expression comes to.
    pub(super) fn value(&self, expression: &Expression<'a>, context: Context<'_, '_>) -> Value {
        let Some(context) = context.deeper() else { return Value::Unknown };
        let value = |expression| self.value(expression, context);
        let expression = expression.get_inner_expression();
        if let Expression::StringLiteral(text) = expression {
            Value::Text(Text::known(text.value.as_str()))
        } else if let Expression::TemplateLiteral(template) = expression {
            let mut text = Text::default();
            let mut gaps = template.expressions.iter();
            for quasi in &template.quasis {
                text.push(
                    quasi.value.cooked.map_or_else(Text::open, |known| Text::known(known.as_str())),
                );
                if let Some(gap) = gaps.next() {
                    text.push(value(gap).into_text());
                }
            }
            Value::Text(text)
        } else if let Expression::BinaryExpression(sum) = expression
            && sum.operator == BinaryOperator::Addition
        {
            let mut text = value(&sum.left).into_text();
            text.push(value(&sum.right).into_text());
            Value::Text(text)
        } else if let Expression::Identifier(name) = expression {
            let reference = name.reference_id.get();
            let symbol =
                reference.and_then(|id| self.semantic.scoping().get_reference(id).symbol_id());
            symbol.map(|symbol| self.symbol(symbol, context)).unwrap_or_default()
        } else if let Expression::ObjectExpression(object) = expression {
            Value::Object(self.object(object, context))
        } else if let Expression::StaticMemberExpression(member) = expression {
            let name = member.property.name.as_str();
            if matches!(member.object.get_inner_expression(), Expression::ThisExpression(_)) {
                return self.own_constant(member.node_id.get(), name, context);
            }
            value(&member.object).property(name)
        } else if let Expression::ComputedMemberExpression(member) = expression {
            let key = value(&member.expression).into_text();
            key.literal().map(|key| value(&member.object).property(key)).unwrap_or_default()
        } else if let Expression::ArrowFunctionExpression(function) = expression {
            self.arrow(function, context)
        } else if let Expression::FunctionExpression(function) = expression {
            self.function(function, context)
        } else if let Expression::CallExpression(call) = expression {
            self.call(&call.callee, &call.arguments, context)
        } else {
            Value::Unknown
        }
    }

    fn call(
        &self,
        callee: &Expression<'a>,
        arguments: &[Argument<'a>],
        context: Context<'_, '_>,
    ) -> Value {
        let first = arguments.first().and_then(Argument::as_expression);
        let value = |expression| self.value(expression, context);
        if let Expression::StaticMemberExpression(member) = callee.get_inner_expression() {
            let method = member.property.name.as_str();
            if method == "freeze" && member.object.is_specific_id("Object") {
                return first.map(value).unwrap_or_default();
            }
            if method == "join"
                && let Expression::ArrayExpression(list) = member.object.get_inner_expression()
            {
                let between =
                    first.map_or_else(|| Text::known(","), |between| value(between).into_text());
                let mut text = Text::default();
                for (index, element) in list.elements.iter().enumerate() {
                    if index > 0 {
                        text.push(between.clone());
                    }
                    text.push(element.as_expression().map(value).unwrap_or_default().into_text());
                }
                return Value::Text(text);
            }
        }
        match value(callee) {
            Value::Function(text) => {
                let given = arguments.iter().map(|argument| {
                    argument.as_expression().map(value).unwrap_or_default().into_text()
                });
                Value::Text(text.call(&given.collect::<Vec<_>>()))
            }
            _ if is_client_call(self, callee) => {
                Value::Client(self.client_schema(arguments, context))
            }
            Value::Text(_) | Value::Object(_) | Value::Client(_) | Value::Unknown => Value::Unknown,
        }
    }

    /// The schema of `createClient(url, key, { db: { schema: 'x' } })`.
    pub(super) fn client_schema(
        &self,
        arguments: &[Argument<'a>],
        context: Context<'_, '_>,
    ) -> Option<Text> {
        let options = arguments.get(2)?.as_expression()?;
        match self.value(options, context).property("db").property("schema") {
            Value::Text(schema) => Some(schema),
            Value::Object(_) | Value::Function(_) | Value::Client(_) | Value::Unknown => None,
        }
    }

    /// The properties of an object literal that are known.
    pub(super) fn object(
        &self,
        object: &ObjectExpression<'a>,
        context: Context<'_, '_>,
    ) -> BTreeMap<String, Value> {
        let mut properties = BTreeMap::new();
        for property in &object.properties {
            match property {
                ObjectPropertyKind::ObjectProperty(property) => {
                    if let Some(name) = property.key.static_name() {
                        properties.insert(name.into_owned(), self.value(&property.value, context));
                    }
                }
                ObjectPropertyKind::SpreadProperty(spread) => {
                    if let Value::Object(more) = self.value(&spread.argument, context) {
                        properties.extend(more);
                    }
                }
            }
        }
        properties
    }

    fn arrow(&self, function: &ArrowFunctionExpression<'a>, context: Context<'_, '_>) -> Value {
        let body = function.get_expression().or_else(|| {
            let body = function.body.as_function_body()?;
            only_return(&body.statements)
        });
        self.returned(&function.params, body, context)
    }

    fn function(&self, function: &Function<'a>, context: Context<'_, '_>) -> Value {
        let body = function.body.as_ref().and_then(|body| only_return(&body.statements));
        self.returned(&function.params, body, context)
    }

    fn returned(
        &self,
        parameters: &FormalParameters<'a>,
        body: Option<&Expression<'a>>,
        context: Context<'_, '_>,
    ) -> Value {
        let symbols = parameters.items.iter().map(|parameter| {
            parameter.pattern.get_binding_identifier().and_then(|name| name.symbol_id.get())
        });
        let Some(parameters) = symbols.collect::<Option<Vec<SymbolId>>>() else {
            return Value::Unknown;
        };
        let inner = Context { parameters: &parameters, ..context };
        match body.map(|body| self.value(body, inner)) {
            Some(Value::Text(text)) => Value::Function(text),
            Some(Value::Object(_) | Value::Function(_) | Value::Client(_) | Value::Unknown)
            | None => Value::Unknown,
        }
    }

    /// What a name stands for, where it never stands for anything else.
    fn symbol(&self, symbol: SymbolId, context: Context<'_, '_>) -> Value {
        if let Some(place) = context.parameters.iter().position(|parameter| *parameter == symbol) {
            return Value::Text(Text::argument(place));
        }
        if self.semantic.scoping().symbol_is_mutated(symbol) {
            return Value::Unknown;
        }
        let name = self.semantic.scoping().symbol_name(symbol);
        let node = self.semantic.symbol_declaration(symbol).kind();
        if let AstKind::VariableDeclarator(variable) = node {
            let is_whole = variable.id.is_binding_identifier();
            let init = variable.init.as_ref().filter(|_| is_whole);
            init.map(|init| self.value(init, context)).unwrap_or_default()
        } else if let AstKind::Function(function) = node {
            self.function(function, context)
        } else if let AstKind::TSEnumDeclaration(list) = node {
            let members = list.body.members.iter().filter_map(|member| {
                let value = self.value(member.initializer.as_ref()?, context);
                Some((member.id.static_name().to_string(), value))
            });
            Value::Object(members.collect())
        } else if let AstKind::Class(class) = node {
            let constants = properties(class).filter(|property| property.r#static);
            Value::Object(self.constants(constants, context))
        } else {
            self.imported(name, context)
        }
    }

    /// What a name stands for.
    pub(super) fn symbol_of(&self, name: &Expression<'a>) -> Option<SymbolId> {
        let name = name.get_inner_expression().get_identifier_reference()?;
        self.semantic.scoping().get_reference(name.reference_id.get()?).symbol_id()
    }

    /// The expression that a variable begins with, or is a part of.
    pub(super) fn init(&self, name: &Expression<'a>) -> Option<&Expression<'a>> {
        let declared = self.semantic.symbol_declaration(self.symbol_of(name)?).kind();
        declared.as_variable_declarator()?.init.as_ref()
    }

    /// The same, where the variable is all of it.
    pub(super) fn held(&self, name: &Expression<'a>) -> Option<&Expression<'a>> {
        let declared = self.semantic.symbol_declaration(self.symbol_of(name)?).kind();
        let variable = declared.as_variable_declarator()?;
        variable.init.as_ref().filter(|_| variable.id.is_binding_identifier())
    }

    /// The module that a name is imported from.
    pub(super) fn imported_from(&self, symbol: SymbolId) -> Option<&str> {
        let node = self.semantic.symbol_declaration(symbol).kind();
        let is_import = node.as_import_specifier().is_some()
            || node.as_import_default_specifier().is_some()
            || node.as_import_namespace_specifier().is_some();
        let name = self.semantic.scoping().symbol_name(symbol);
        let mut entries = self.record.import_entries.iter().filter(|_| is_import);
        let entry = entries.find(|entry| entry.local_name.name.as_str() == name)?;
        Some(entry.module_request.name.as_str())
    }

    fn imported(&self, local: &str, context: Context<'_, '_>) -> Value {
        let mut entries = self.record.import_entries.iter();
        let Some(entry) = entries.find(|entry| entry.local_name.name.as_str() == local) else {
            return Value::Unknown;
        };
        let name = match &entry.import_name {
            ImportImportName::Name(name) => Some(name.name.as_str()),
            ImportImportName::Default(_) => Some("default"),
            ImportImportName::NamespaceObject => None,
        };
        let module = entry.module_request.name.as_str();
        context.project.import(self.path, module, name, context.modules)
    }

    /// `this.name`, where the class around it has it as `readonly`.
    fn own_constant(&self, node: NodeId, name: &str, context: Context<'_, '_>) -> Value {
        let mut around = self.semantic.nodes().ancestor_kinds(node);
        let class = around.find_map(AstKind::as_class);
        let constants = class.into_iter().flat_map(properties).filter(|property| property.readonly);
        self.constants(constants, context).remove(name).unwrap_or_default()
    }

    fn constants<'n>(
        &self,
        constants: impl Iterator<Item = &'n PropertyDefinition<'a>>,
        context: Context<'_, '_>,
    ) -> BTreeMap<String, Value>
    where
        'a: 'n,
    {
        let known = constants.filter_map(|property| {
            let name = property.key.static_name()?.into_owned();
            Some((name, self.value(property.value.as_ref()?, context)))
        });
        known.collect()
    }
}

fn properties<'n, 'a>(class: &'n Class<'a>) -> impl Iterator<Item = &'n PropertyDefinition<'a>> {
    class.body.body.iter().filter_map(|element| match element {
        ClassElement::PropertyDefinition(property) => Some(property.as_ref()),
        ClassElement::StaticBlock(_)
        | ClassElement::MethodDefinition(_)
        | ClassElement::AccessorProperty(_)
        | ClassElement::TSIndexSignature(_) => None,
    })
}

fn only_return<'n, 'a>(statements: &'n [Statement<'a>]) -> Option<&'n Expression<'a>> {
    match statements {
        [Statement::ReturnStatement(only)] => only.argument.as_ref(),
        _ => None,
    }
}

fn exported(name: &ExportExportName<'_>) -> Option<String> {
    match name {
        ExportExportName::Name(name) => Some(name.name.to_string()),
        ExportExportName::Default(_) => Some("default".to_owned()),
        ExportExportName::Null => None,
    }
}

fn line(ends: &[usize], at: usize) -> usize {
    ends.partition_point(|end| *end < at) + 1
}

/// Whether what a function of that name returns is a client.
pub(super) fn makes_client(name: &str) -> bool {
    let name = name.to_lowercase();
    name.contains("supabase") || name.starts_with("create") && name.ends_with("client")
}

/// Whether a call of this makes a client of Supabase.
fn is_client_call<'a>(module: &Module<'a>, callee: &Expression<'a>) -> bool {
    let Expression::Identifier(name) = callee.get_inner_expression() else { return false };
    makes_client(&name.name) && !is_of_other(module, callee, 0)
}

/// Whether it comes from a package that is not Supabase's.
pub(super) fn is_of_other<'a>(
    module: &Module<'a>,
    expression: &Expression<'a>,
    depth: usize,
) -> bool {
    let mut expression = expression.get_inner_expression();
    loop {
        expression = if let Expression::AwaitExpression(awaited) = expression {
            awaited.argument.get_inner_expression()
        } else if let Expression::NewExpression(new) = expression {
            new.callee.get_inner_expression()
        } else if let Expression::StaticMemberExpression(member) = expression {
            member.object.get_inner_expression()
        } else if let Expression::CallExpression(call) = expression {
            let is_require = call.callee.is_specific_id("require");
            let required = call.arguments.first().filter(|_| is_require);
            if let Some(Argument::StringLiteral(module)) = required {
                return is_other_package(&module.value);
            }
            call.callee.get_inner_expression()
        } else {
            break;
        };
    }
    let symbol = module.symbol_of(expression);
    if let Some(module) = symbol.and_then(|symbol| module.imported_from(symbol)) {
        return is_other_package(module);
    }
    let init = module.init(expression).filter(|_| depth < DEEPEST);
    init.is_some_and(|init| is_of_other(module, init, depth + 1))
}

/// Whether an import leads out of the project, and not to Supabase.
fn is_other_package(module: &str) -> bool {
    !module.starts_with(['.', '/', '~', '#'])
        && !module.starts_with("@/")
        && !module.starts_with("src/")
        && !module.to_lowercase().contains("supabase")
}
