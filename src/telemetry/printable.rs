//! Text from the database or the network, for terminals and logs.
//!
//! Names are what anybody wrote who may create something, and a server's message is what the network answers.
//! A terminal obeys some characters, hides others and turns the direction of the rest: all of them are shown as
//! escapes. None is dropped, so that two names stay two.

use std::fmt::{self, Display, Write as _};

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Shows text within its line, and nothing in it acts on the terminal.
#[derive(Clone, Copy, Debug)]
pub struct Printable<T>(pub T);

impl<T: Display> Display for Printable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| {
            if is_printable(c) { self.0.write_char(c) } else { c.escape_default().fmt(self.0) }
        })
    }
}

/// Whether a reader sees the character, and the terminal does nothing else with it.
pub fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let acts = matches!(
        c.general_category(),
        GeneralCategory::Control
            | GeneralCategory::Format // bidi, zero width
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
    );
    !acts && !is_ignorable(c)
}

/// Letters and marks without a shape: fillers and variation selectors. Source: Unicode, `Default_Ignorable`.
fn is_ignorable(c: char) -> bool {
    matches!(
        c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{2065}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_escaped_and_what_is_read_stays() {
        let kept = "O'Brien \\ \"x\" äöü e\u{301} 漢字 हिन्दी العربية ไทย 🙂 \u{a0}";
        assert_eq!(Printable(kept).to_string(), kept);
        let acting = "\0\t\n\r\u{1b}[2J\u{7}\u{7f}\u{9b}31m\u{ad}\u{61c}\u{180e}\u{200b}\u{200d}\u{200e}\
                      \u{2028}\u{202e}\u{2060}\u{2066}\u{feff}\u{fe0f}\u{e0041}\u{3164}";
        let shown = r"\u{0}\t\n\r\u{1b}[2J\u{7}\u{7f}\u{9b}31m\u{ad}\u{61c}\u{180e}\u{200b}\u{200d}\u{200e}\u{2028}\u{202e}\u{2060}\u{2066}\u{feff}\u{fe0f}\u{e0041}\u{3164}";
        assert_eq!(Printable(acting).to_string(), shown);
    }
}
