//! One request, as the pages see it.

use std::fmt::Display;
use std::sync::Arc;

use axum::http::Uri;

use super::Shared;
use super::form::Fields;
use super::viewer::{Role, Viewer};
use crate::operations::Actor;

/// Who looks, at what, and the way from there to the first page.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) shared: Arc<Shared>,
    pub(super) viewer: Viewer,
    /// Before each link: pages may stand below a path of a proxy's.
    pub(super) root: String,
    pub(super) query: Fields,
}

impl Visit {
    pub(super) fn new(shared: &Arc<Shared>, uri: &Uri, viewer: Viewer) -> Self {
        let depth = uri.path().matches('/').count().saturating_sub(1);
        let root = if depth == 0 { "./".to_owned() } else { "../".repeat(depth) };
        let query = Fields::parse(uri.query().unwrap_or_default().as_bytes());
        Self { shared: Arc::clone(shared), viewer, root, query }
    }

    /// Of somebody who has not entered.
    pub(super) fn stranger(shared: &Arc<Shared>, uri: &Uri) -> Self {
        Self::new(shared, uri, Viewer { name: String::new(), role: Role::Read })
    }

    /// Tells the log of an action that was done.
    pub(super) fn tell(&self, action: &str, of: &str, id: &dyn Display) {
        tracing::info!(action, viewer = self.viewer.name, of, %id, "done in the console");
    }

    /// For the record of an action.
    pub(super) fn actor(&self) -> Actor {
        Actor::new(Some(self.viewer.name.clone()))
    }
}
