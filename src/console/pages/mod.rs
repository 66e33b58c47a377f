//! What a browser is shown. All text is escaped by the templates; none is put into a script or a style.

pub(super) mod activity;
pub(super) mod agent;
pub(super) mod agents;
pub(super) mod businesses;
mod chart;
pub(super) mod doctor;
pub(super) mod drift;
pub(super) mod job;
pub(super) mod jobs;
pub(super) mod layout;
pub(super) mod overview;
pub(super) mod parts;
pub(super) mod rollouts;
pub(super) mod trash;
