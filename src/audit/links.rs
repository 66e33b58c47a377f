//! Links that lead nowhere.

use std::path::Path;

/// Why such a link is not read.
pub(super) const LEADS_NOWHERE: &str = "it is a link that leads nowhere";

/// Whether it is a link to what is not there. A shell names such links with all others.
pub(super) fn leads_nowhere(path: &Path) -> bool {
    path.is_symlink() && !path.exists()
}
