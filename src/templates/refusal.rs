//! Why a template file is refused.

/// The line, from 1, and what is wrong there, with the fix.
pub(crate) type Refusal = (usize, String);
