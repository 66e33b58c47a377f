//! What `from()` and `rpc()` are called on: a Supabase client, or something of another package.

use oxc_ast::ast::Expression;
use oxc_span::GetSpan;

use super::module::{Context, Module, is_of_other, makes_client};
use super::text::Value;

/// Variables that hold each other in a row.
const DEEPEST: usize = 8;

/// What a method is called on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Receiver {
    Client,
    /// By a name that others have, too, in a file that speaks of Supabase.
    Likely,
    Storage,
    /// Something else that has a method of that name, such as `Array` or what another package makes.
    Other,
    Unknown,
}

impl Receiver {
    pub(super) fn is_certain(self) -> bool {
        match self {
            Self::Client | Self::Likely | Self::Storage => true,
            Self::Other | Self::Unknown => false,
        }
    }
}

/// Of one file.
pub(super) struct Receivers<'m, 'a, 'c, 'p> {
    module: &'m Module<'a>,
    context: Context<'c, 'p>,
    /// Whether the file speaks of Supabase at all.
    pub(super) knows_client: bool,
}

impl<'m, 'a, 'c, 'p> Receivers<'m, 'a, 'c, 'p> {
    pub(super) fn of(module: &'m Module<'a>, context: Context<'c, 'p>) -> Self {
        let knows_client = module.semantic.source_text().to_lowercase().contains("supabase");
        Self { module, context, knows_client }
    }

    /// Its name decides, then its type, then where it comes from.
    pub(super) fn receiver(&self, object: &Expression<'a>, depth: usize) -> Receiver {
        let object = object.get_inner_expression();
        if let Expression::AwaitExpression(awaited) = object {
            return self.receiver(&awaited.argument, depth);
        }
        let name = if let Expression::CallExpression(call) = object {
            return self.returned(object, &call.callee, call.callee_name());
        } else if matches!(object, Expression::ObjectExpression(_)) || self.is_own_class(object) {
            return Receiver::Other;
        } else if let Expression::StaticMemberExpression(member) = object {
            member.property.name.as_str()
        } else if let Expression::Identifier(name) = object {
            name.name.as_str()
        } else {
            return Receiver::Unknown;
        };
        let by_name = by_name(name);
        if matches!(by_name, Receiver::Client | Receiver::Storage) {
            return by_name;
        }
        let is_variable = matches!(object, Expression::Identifier(_));
        if self.is_typed(name)
            || is_variable && matches!(self.module.value(object, self.context), Value::Client(_))
        {
            return Receiver::Client;
        }
        let is_other = by_name == Receiver::Other || is_of_other(self.module, object, 0);
        let whole = self.module.held(object).filter(|_| depth < DEEPEST);
        match whole.map(|whole| self.receiver(whole, depth + 1)) {
            Some(known) if known != Receiver::Unknown => known,
            Some(_) | None if is_other => Receiver::Other,
            Some(_) | None if self.knows_client && is_likely(name) => Receiver::Likely,
            Some(_) | None => Receiver::Unknown,
        }
    }

    /// Whether it is made of a class of this file.
    fn is_own_class(&self, object: &Expression<'a>) -> bool {
        let Expression::NewExpression(new) = object else { return false };
        let symbol = self.module.symbol_of(&new.callee);
        symbol.is_some_and(|symbol| {
            self.module.semantic.symbol_declaration(symbol).kind().as_class().is_some()
        })
    }

    /// What a call returns.
    fn returned(
        &self,
        call: &Expression<'a>,
        callee: &Expression<'a>,
        name: Option<&str>,
    ) -> Receiver {
        let text = callee.span().source_text(self.module.semantic.source_text());
        let is_other = is_of_other(self.module, call, 0);
        if text.to_lowercase().contains("supabase") {
            Receiver::Client
        } else if name.is_some_and(makes_client) {
            // Packages of the project's own have names of any kind.
            if is_other { Receiver::Unknown } else { Receiver::Client }
        } else if is_other {
            Receiver::Other
        } else {
            Receiver::Unknown
        }
    }

    /// Whether a parameter or a member of that name is declared as a client.
    fn is_typed(&self, name: &str) -> bool {
        let text = self.module.semantic.source_text();
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
        text.match_indices(name).any(|(at, _)| {
            let before = text.get(..at).and_then(|it| it.chars().next_back());
            let after = text.get(at + name.len()..).unwrap_or_default();
            let r#type = after.trim_start_matches(['?', '!']).strip_prefix(':');
            !before.is_some_and(is_part)
                && r#type.is_some_and(|it| it.trim_start().starts_with("SupabaseClient"))
        })
    }
}

/// Names that people give to clients of any kind.
fn is_likely(name: &str) -> bool {
    let lower = name.to_lowercase();
    ["db", "database"].contains(&lower.as_str())
        || lower.ends_with("client")
        || lower.ends_with("admin")
}

fn by_name(name: &str) -> Receiver {
    let lower = name.to_lowercase();
    if lower == "storage" {
        Receiver::Storage
    } else if lower.contains("supabase") || lower == "sb" {
        Receiver::Client
    } else if name.starts_with(char::is_uppercase) {
        Receiver::Other
    } else {
        Receiver::Unknown
    }
}
