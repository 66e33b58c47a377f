//! The fields of a form or a query. A name may stand there several times.

/// In their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Without zero bytes, which no text of the database has.
    pub(super) fn parse(encoded: &[u8]) -> Self {
        let fields = form_urlencoded::parse(encoded);
        Self(fields.map(|(key, value)| (key.into_owned(), value.replace('\0', ""))).collect())
    }

    /// The first of this name, without the blanks around it; `None` where nothing is left.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let named = self.0.iter().filter(|(key, _)| key == name);
        named.map(|(_, value)| value.trim()).find(|value| !value.is_empty())
    }

    pub(super) fn all<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a str> {
        let named = self.0.iter().filter(move |(key, _)| key == name);
        named.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }
}

/// A query of these fields; the empty ones are left out.
pub(super) fn query<'a>(fields: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    for (name, value) in fields {
        if !value.is_empty() {
            encoded.append_pair(name, &value);
        }
    }
    encoded.finish()
}
