//! Metrics: what the kernel object has counted, and the health of the tool itself, in the formats
//! that Prometheus reads. Everything is read when it is asked for; nothing is kept.
//!
//! To add a metric, write it in the file that is about its theme; to add a theme, write a collector in a
//! file of its own, and register it in [`Metrics::new`]. `docs/metrics.md` lists every metric.

pub mod calls;
pub mod counters;
mod encode;
pub mod format;
pub mod health;
mod histogram;
mod labels;
pub mod process;
pub mod ring;
pub mod series;

use std::{io, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;

use self::{
    calls::CallsCollector,
    counters::Counters,
    format::Format,
    health::{HealthCollector, LossCounts},
    process::ProcessCollector,
    ring::RingCollector,
    series::{Series, SeriesCollector},
};
use crate::attach::{
    counts::Counts,
    link::HookState,
    maps::{CounterMaps, Ring, SeriesMaps},
};

/// Prefix of every metric but those of the process, whose names are common to all exporters.
pub const PREFIX: &str = "connect_observer";

/// What metrics are made of.
pub struct Sources {
    /// What is counted.
    pub counts: Counts,
    /// The kernel's counters.
    pub counters: CounterMaps,
    /// The kernel's counters by label.
    pub series: SeriesMaps,
    /// How long a series stays that is not counted any more.
    pub series_ttl: Duration,
    /// The ring buffer.
    pub ring: Ring,
    /// The hooks.
    pub hooks: Vec<HookState>,
    /// What was lost.
    pub losses: LossCounts,
}

/// Everything that is served.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    counters: Arc<Counters>,
    series: Option<Series>,
}

impl Metrics {
    /// Of these sources.
    ///
    /// # Errors
    ///
    /// The ring buffer cannot be mapped.
    pub fn new(sources: Sources) -> io::Result<Self> {
        let counting = sources.counts.counting;
        let mut registry = Registry::default();
        let own = registry.sub_registry_with_prefix(PREFIX);
        let counters = Arc::new(Counters::new(sources.counters));
        own.register_collector(Box::new(CallsCollector(Arc::clone(&counters))));
        let health = HealthCollector::new(sources.hooks, sources.losses);
        own.register_collector(Box::new(health));
        if counting.records != 0 {
            own.register_collector(Box::new(RingCollector::new(&sources.ring)?));
        }
        let series = (counting.labels != 0).then(|| {
            Series::new(
                sources.series,
                counting.labels,
                sources.counts.max_series,
                sources.series_ttl,
            )
        });
        if let Some(series) = &series {
            own.register_collector(Box::new(SeriesCollector(series.clone())));
        }
        registry.register_collector(Box::new(ProcessCollector));
        Ok(Self {
            registry,
            counters,
            series,
        })
    }

    /// The kernel's counters.
    #[must_use]
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// The metrics as they are now.
    ///
    /// # Errors
    ///
    /// The kernel's counters cannot be read.
    pub fn encode(&self, format: Format) -> Result<Vec<u8>, std::fmt::Error> {
        format.encode(&self.registry)
    }

    /// Forgets series that were not counted for long.
    pub fn tidy(&self) {
        if let Some(series) = &self.series {
            series.tidy();
        }
    }
}
