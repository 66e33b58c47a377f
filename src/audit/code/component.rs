//! Files of components, `.vue` and `.svelte`: of these only the scripts are code.

use std::borrow::Cow;
use std::path::Path;

use oxc_span::SourceType;

/// The text that is code, each part at its place, and how to parse it.
pub(super) fn code<'t>(path: &Path, text: &'t str) -> (Cow<'t, str>, SourceType) {
    let extension = path.extension().map(|it| it.to_string_lossy().to_lowercase());
    if matches!(extension.as_deref(), Some("vue" | "svelte")) {
        // What is no TypeScript can be read as if it were; but for tags, which `lang` announces.
        let kind = if text.contains("lang=\"tsx\"") || text.contains("lang=\"jsx\"") {
            SourceType::tsx()
        } else {
            SourceType::ts()
        };
        return (Cow::Owned(scripts(text)), kind);
    }
    (Cow::Borrowed(text), SourceType::from_path(path).unwrap_or_default())
}

/// The text with blanks in place of all that is in no `<script>`, so that bytes and lines stay where they are.
fn scripts(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    // Its letters are those of the text, byte by byte.
    let lower = text.to_ascii_lowercase();
    let mut at = 0;
    while let Some((start, end)) = script(&lower, at) {
        kept.push_str(&blank(text.get(at..start).unwrap_or_default()));
        kept.push_str(text.get(start..end).unwrap_or_default());
        at = end;
    }
    kept.push_str(&blank(text.get(at..).unwrap_or_default()));
    kept
}

/// What is between the next two tags.
fn script(lower: &str, from: usize) -> Option<(usize, usize)> {
    const TAG: &str = "<script";
    let rest = lower.get(from..)?;
    let mut tags = rest.match_indices(TAG).map(|(at, _)| at + TAG.len());
    let tag = tags.find(|end| {
        rest.get(*end..)
            .is_some_and(|rest| rest.starts_with(|c: char| c == '>' || c.is_whitespace()))
    })?;
    let start = from + tag + rest.get(tag..)?.find('>')? + 1;
    let length = lower.get(start..)?.find("</script")?;
    Some((start, start + length))
}

fn blank(text: &str) -> String {
    text.bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_stay_where_they_are() {
        let text = "<template>é</template>\n<Script setup lang=\"ts\">\na('x')\n</Script>\n<scripts>b</scripts>\n\
                    <script>c</script><script>d";
        let kept = scripts(text);
        assert_eq!(kept.len(), text.len());
        for code in ["\na('x')\n", "c"] {
            assert_eq!(kept.find(code), text.find(&format!(">{code}<")).map(|at| at + 1), "{code}");
        }
        let words: Vec<&str> = kept.split_whitespace().collect();
        assert_eq!(words, ["a('x')", "c"]);
    }
}
