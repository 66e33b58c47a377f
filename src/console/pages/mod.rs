//! What a browser is shown. All text is escaped by the templates; none is put into a script or a style.

pub(super) mod agent;
pub(super) mod agents;
mod chart;
pub(super) mod job;
pub(super) mod jobs;
pub(super) mod layout;
pub(super) mod overview;
mod parts;
pub(super) mod rollouts;
pub(super) mod trash;
