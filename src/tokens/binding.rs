//! What a ciphertext is bound to: in another place it does not decrypt.

/// Which secret of a number or an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of a number.
    AccessToken,
    /// Of an app: signs its webhooks.
    AppSecret,
    /// Of an app: for the subscription to its webhooks.
    VerifyToken,
}

impl Kind {
    /// As the database has it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::AppSecret => "app_secret",
            Self::VerifyToken => "verify_token",
        }
    }

    /// None for what no migration of this program has written.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::AccessToken, Self::AppSecret, Self::VerifyToken]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }

    const fn table(self) -> &'static str {
        match self {
            Self::AccessToken => "whatsapp_numbers",
            Self::AppSecret | Self::VerifyToken => "meta_apps",
        }
    }
}

/// Table, column, row and business.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) kind: Kind,
    /// The id of the number or the app, as the database writes a `uuid`.
    pub(crate) row: String,
    /// Likewise; none for an app of the platform.
    pub(crate) business: Option<String>,
}

impl Binding {
    /// Each part with its length before it, so that no two bindings have the same bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let business = self.business.as_deref().unwrap_or_default();
        let parts = [self.kind.table(), self.kind.as_str(), &self.row, business];
        let mut bytes = Vec::new();
        for part in parts {
            // Names and uuids: no part is as long as that.
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            bytes.extend(length.to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }
}
