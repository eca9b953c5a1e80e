//! From an observation to live hooks, and metrics served meanwhile.

use std::sync::Arc;

use anyhow::Result;
use jiff::Timestamp;

use crate::{
    attach::{self, Attached, KernelLog, link::Links, maps::Lineage, survey::Survey},
    collect::Collector,
    coverage::Coverage,
    host::tracefs::Tracefs,
    metrics::{Metrics, Sources, counters::Counters, health::LossCounts},
    observation::{Observation, Whom},
    preflight,
    serve::{Bound, Server},
    status,
};

/// Live hooks, and what serves them.
pub(super) struct Live {
    /// Dropping them detaches the hooks.
    pub(super) links: Links,
    pub(super) log: KernelLog,
    pub(super) lineage: Lineage,
    pub(super) collector: Collector,
    pub(super) coverage: Coverage,
    /// Since when the hooks observe.
    pub(super) since: Timestamp,
    /// Losses, for the metrics.
    pub(super) losses: LossCounts,
    pub(super) served: Option<Served>,
}

/// Metrics that are being served.
pub(super) struct Served {
    pub(super) server: Server,
    pub(super) counters: Arc<Counters>,
}

/// Makes sure that everything needed is there.
pub(super) fn require(observation: &Observation) -> Result<Tracefs> {
    let tracefs = preflight::require()?;
    if observation.whom != Whom::Host || observation.filters.pid.is_some() {
        preflight::require_initial_pid_namespace()?;
    }
    Ok(tracefs)
}

/// Listens for whoever asks for metrics, if they are to be served.
pub(super) fn listen(observation: &Observation) -> Result<Option<Bound>> {
    let serving = observation.serving.as_ref();
    serving
        .map(|serving| Bound::listen(&serving.listen))
        .transpose()
}

impl Live {
    /// Attaches the hooks, serves the metrics where somebody listens, and has the hooks observe.
    pub(super) fn begin(
        tracefs: &Tracefs,
        observation: &Observation,
        bound: Option<Bound>,
    ) -> Result<Self> {
        let survey = Survey::of(tracefs);
        let listening = bound.as_ref().map(Bound::address);
        let Attached {
            mut links,
            switch,
            hooks,
            functions,
            records,
            watched,
            ring,
            counts,
            counters,
            series,
            lineage,
            log,
        } = attach::attach(tracefs, observation, &survey, listening)?;
        let collector = Collector::new(records, watched)?;
        let losses = LossCounts::default();
        let served = match (bound, &observation.serving) {
            (Some(bound), Some(serving)) => {
                let metrics = Metrics::new(Sources {
                    counts,
                    counters,
                    series,
                    series_ttl: serving.series_ttl,
                    ring,
                    hooks,
                    losses: losses.clone(),
                })?;
                let counters = metrics.counters();
                let server = bound.serve(metrics)?;
                Some(Served { server, counters })
            }
            _ => None,
        };
        // When everything that looks at it is there.
        let since = Timestamp::now();
        links.go_live(switch)?;
        Ok(Self {
            links,
            log,
            lineage,
            collector,
            coverage: Coverage::of(&survey, &functions, observation.means),
            since,
            losses,
            served,
        })
    }

    /// Says on standard error what is not seen.
    pub(super) fn note_unseen(&self) {
        let unseen: Vec<_> = self
            .coverage
            .unseen()
            .map(|(what, why)| format!("{what} ({why})"))
            .collect();
        if !unseen.is_empty() {
            status::say(format_args!("note: not seen: {}", unseen.join(", ")));
        }
    }
}
