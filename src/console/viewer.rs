//! A person who looks at the console.

/// What a viewer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Read,
    Operate,
}

/// A person, as the record of an action names them.
#[derive(Clone, Debug)]
pub(super) struct Viewer {
    pub(super) name: String,
    pub(super) role: Role,
}

impl Viewer {
    pub(super) fn may_act(&self) -> bool {
        self.role == Role::Operate
    }
}
