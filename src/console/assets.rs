//! Style and script. Their addresses hold what is in them, so a browser may keep them for good.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

/// A file that pages refer to.
#[derive(Debug)]
pub(super) struct Asset {
    stem: &'static str,
    extension: &'static str,
    kind: &'static str,
    text: &'static str,
}

pub(super) const STYLE: Asset = Asset {
    stem: "console",
    extension: "css",
    kind: "text/css; charset=utf-8",
    text: include_str!("assets/console.css"),
};

pub(super) const SCRIPT: Asset = Asset {
    stem: "console",
    extension: "js",
    kind: "text/javascript; charset=utf-8",
    text: include_str!("assets/console.js"),
};

impl Asset {
    pub(super) fn name(&self) -> String {
        let hash = Sha256::digest(self.text.as_bytes());
        let short = hash.iter().take(8).fold(0_u64, |all, byte| (all << 8) | u64::from(*byte));
        format!("{}-{short:016x}.{}", self.stem, self.extension)
    }
}

pub(super) async fn serve(Path(name): Path<String>) -> Response {
    match [STYLE, SCRIPT].into_iter().find(|asset| asset.name() == name) {
        Some(asset) => {
            let headers = [
                (header::CONTENT_TYPE, asset.kind),
                (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
            ];
            (headers, asset.text).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
