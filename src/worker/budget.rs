//! How many jobs run at a time over all databases of the process.

use std::sync::Arc;

use tokio::sync::{Semaphore, SemaphorePermit};

/// One database's part of it: one job of its own, which no other database can take, and what is left of all for whoever comes
/// first.
#[derive(Debug)]
pub(crate) struct Budget {
    own: Semaphore,
    left: Arc<Semaphore>,
}

impl Budget {
    /// One part for each database; `None` where there is no bound over all.
    pub(crate) fn shares(
        total: Option<usize>,
        databases: usize,
    ) -> impl Iterator<Item = Option<Arc<Self>>> {
        let left = total.map(|total| Arc::new(Semaphore::new(total.saturating_sub(databases))));
        std::iter::repeat_with(move || {
            let left = left.clone()?;
            Some(Arc::new(Self { own: Semaphore::new(1), left }))
        })
        .take(databases)
    }

    /// Waits until a job may run: it does for as long as this lives.
    pub(crate) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        tokio::select! {
            biased;
            own = self.own.acquire() => own.ok(),
            left = self.left.acquire() => left.ok(),
        }
    }
}
