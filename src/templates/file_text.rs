//! From a file's bytes to SQL.

use super::refusal::Refusal;
use crate::sql_text::line_ends;

/// A file's text, without a byte order mark.
pub(crate) fn decode(bytes: Vec<u8>) -> Result<String, Refusal> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err((1, "the file is in UTF-16: save it in UTF-8".to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let sound = error.as_bytes().get(..error.utf8_error().valid_up_to());
        let before = String::from_utf8_lossy(sound.unwrap_or_default());
        (1 + line_ends(&before), "the file is not in UTF-8: save it in UTF-8".to_owned())
    })?;
    if let Some((before, _)) = text.split_once('\0') {
        return Err((1 + line_ends(before), "a zero byte is refused: delete it".to_owned()));
    }
    Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), ToOwned::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_text_is_refused_with_its_line() {
        let cases: [(&[u8], usize, &str); 4] = [
            (b"\xff\xfes\0", 1, "UTF-16"),
            (b"\xfe\xff\0s", 1, "UTF-16"),
            (b"a\r\nb\r\xe4", 3, "UTF-8"),
            (b"a\nb\0", 2, "zero byte"),
        ];
        for (bytes, line, reason) in cases {
            let refusal = decode(bytes.to_vec()).unwrap_err();
            assert!(refusal.0 == line && refusal.1.contains(reason), "{refusal:?}");
        }
        let marked = decode("\u{feff}select '\u{feff}'".into());
        assert_eq!(marked, Ok("select '\u{feff}'".to_owned()));
    }
}
