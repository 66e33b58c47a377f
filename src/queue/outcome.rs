//! What the work on a job came to.

/// What the work came to. All of it took effect, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The tables are there, and registered.
    Provisioned,
    /// They were there already.
    Unchanged,
    /// The agent is gone or going: nothing was built.
    Superseded,
    /// Tables of a former agent bear the names: a job that deletes them goes first, and a new one builds.
    Requeued,
    /// It is as the templates make it again.
    Repaired,
    /// Differences are left that no repair takes away.
    Drifted {
        /// Others were taken away.
        mended: bool,
    },
    /// The template files that it lacked have run.
    Upgraded,
    /// Some of them have, or of a deletion its first part; the job stays in the queue for the rest.
    MoreToDo,
    /// It is tied to `agents` as was asked.
    Converted,
    /// It is back from the trash.
    Restored {
        /// All that its tables had was given back, but for foreign keys, which a repair gives back.
        whole: bool,
    },
    /// Tables, registration and row are gone.
    Deprovisioned,
    /// The same, and for a while an operator can bring them back.
    Trashed,
    /// The agent had no tables of ours, and its row is gone. Tables of the same names are somebody else's,
    /// and are left alone.
    RowDeleted,
}

impl Outcome {
    /// As `provisioning.jobs.outcome` spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Provisioned => "provisioned",
            Self::Unchanged => "unchanged",
            Self::Superseded => "superseded",
            Self::Requeued => "requeued",
            Self::Repaired => "repaired",
            Self::Drifted { .. } => "drifted",
            Self::Upgraded => "upgraded",
            Self::MoreToDo => "unfinished",
            Self::Converted => "converted",
            Self::Restored { whole: true } => "restored",
            Self::Restored { whole: false } => "restored_in_part",
            Self::Deprovisioned => "deprovisioned",
            Self::Trashed => "trashed",
            Self::RowDeleted => "row_deleted",
        }
    }
}
