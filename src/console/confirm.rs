//! The end of each page that shows an action: the form that has it done, and the command that does the same.

use maud::{Markup, html};

use super::reason;

/// Asks why, and sends that with these fields to where the action was shown.
pub(super) fn form(fields: &[(&str, String)], label: &str, back: &str) -> Markup {
    form_with(fields, &html! {}, label, back)
}

/// The same with inputs of its own.
pub(super) fn form_with(
    fields: &[(&str, String)],
    inputs: &Markup,
    label: &str,
    back: &str,
) -> Markup {
    html! {
        form.card method="post" action="act" {
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            (inputs)
            p {
                label for="reason" { "Reason, for the record" } br;
                textarea id="reason" name="reason" required maxlength=(reason::LONGEST) rows="2" {}
            }
            div.actions {
                button.main { (label) }
                a.button href=(back) { "Do nothing" }
            }
        }
    }
}

/// The command that does the same, if there is one.
pub(super) fn command(command: Option<&str>) -> Markup {
    html! {
        @if let Some(command) = command {
            p { "A command that does the same:" } pre { (command) }
        } @else {
            p.dim { "No command does exactly the same." }
        }
    }
}

/// As a word of a shell, in quotes where it needs any.
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/-".contains(c);
    if text.is_empty() || !text.chars().all(plain) { quoted(text) } else { text.to_owned() }
}

/// As a word of a shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
