//! What only the service's own role can tell: what the templates make, and what would have to be done for that.
//!
//! It changes nothing here. What is then done is asked for with the console's role.

use std::future::Future;

use tokio::sync::Mutex;

use crate::config::{self, Config};
use crate::service::{Instance, InstanceError};

/// The service's settings and its role, beside its own connections.
#[derive(Debug)]
pub(super) struct ServiceSide {
    instance: Instance,
    turn: Mutex<()>,
}

impl ServiceSide {
    pub(super) fn new(config: &Config) -> Result<Self, InstanceError> {
        Ok(Self {
            instance: Instance::new(config.clone(), config::Console::SERVICE_CONNECTIONS)?,
            turn: Mutex::new(()),
        })
    }

    /// Looks with it. Those who ask meanwhile wait: however many they are, the service's work goes on beside one look.
    pub(super) async fn look<'a, T, F: Future<Output = T>>(
        &'a self,
        look: impl FnOnce(&'a Instance) -> F,
    ) -> T {
        let _turn = self.turn.lock().await;
        look(&self.instance).await
    }
}
