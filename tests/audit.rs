//! `audit`: small projects with one planted fault each, and exactly that finding.

mod bases;
mod causes;
mod checks;
mod code;
mod documents;
mod fix;
mod live;
mod order;
mod project;
mod relations;
mod report;
mod sarif;
mod secrets;
mod shadow;
