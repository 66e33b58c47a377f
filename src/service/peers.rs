//! Whether the instances on a database are configured alike, where that decides what becomes of an agent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Config;
use crate::postgres::{self, Announcement, Difference};
use crate::telemetry::Metrics;
use crate::templates::Templates;

/// The settings that decide what a job does, whichever instance takes it. Others may differ from host to host.
pub fn settings(config: &Config, templates: Option<&Templates>) -> BTreeMap<&'static str, String> {
    let max_per_hour = config.deprovision.max_per_hour;
    let mut realtime = config.realtime.clone();
    realtime.sort();
    let mut settings = BTreeMap::from([
        ("retention", humantime::format_duration(config.deprovision.retention).to_string()),
        ("max_per_hour", max_per_hour.map_or("none".to_owned(), |most| most.to_string())),
        ("max_unreported", config.deprovision.max_unreported.to_string()),
        ("reference", config.reference.as_str().to_owned()),
        ("realtime", realtime.join(", ")),
    ]);
    if let Some(templates) = templates {
        settings.extend(templates.settings());
    }
    settings
}

/// This process.
pub(super) fn this(config: &Config, templates: &Templates, metrics: Arc<Metrics>) -> Announcement {
    Announcement { host: postgres::host(), settings: settings(config, Some(templates)), metrics }
}

/// What is known of instances that differ from this one. Told again and again, it logs what is new.
#[derive(Debug)]
pub(super) struct Watch {
    settings: Vec<&'static str>,
    known: Mutex<BTreeSet<Difference>>,
    metrics: Arc<Metrics>,
}

impl Watch {
    /// For this instance.
    pub(super) fn new(instance: &Announcement, metrics: Arc<Metrics>) -> Self {
        let settings: Vec<_> = instance.settings.keys().copied().collect();
        for setting in &settings {
            metrics.differing(setting, 0);
        }
        Self { settings, known: Mutex::default(), metrics }
    }

    /// Takes the differences that there are now.
    pub(super) fn note(&self, found: Vec<Difference>) {
        let found = BTreeSet::from_iter(found);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == found {
            return;
        }
        // Whoever reads the log finds the metrics to match.
        for setting in &self.settings {
            let differing = found.iter().filter(|difference| difference.setting == *setting);
            self.metrics.differing(setting, differing.count());
        }
        for Difference { setting, own, other, host, pid } in found.difference(&known) {
            tracing::warn!(
                setting,
                own,
                other,
                host,
                pid,
                "another instance is configured differently"
            );
        }
        if found.is_empty() {
            tracing::info!("all instances are configured alike again");
        }
        *known = found;
    }
}
