//! From an observation to live hooks, and metrics served meanwhile.

use std::sync::Arc;

use anyhow::Result;
use jiff::Timestamp;

use crate::{
    attach::{self, Attached, KernelLog, link::Links, maps::Lineage, survey::Survey},
    collect::Collector,
    coverage::{self, Coverage},
    host::{privilege, process, tracefs::Tracefs},
    metrics::{Metrics, Sources, counters::Counters, health::LossCounts},
    observation::{Observation, Whom},
    preflight,
    serve::{Bound, Server},
    status::{self, WrongUsage},
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
    if observation.whom == Whom::Host
        && let Some(pid) = observation.filters.pid
        && privilege::in_initial_pid_namespace().unwrap_or(false)
    {
        require_process(pid)?;
    }
    let tracefs = preflight::require()?;
    if observation.whom != Whom::Host || observation.filters.pid.is_some() {
        preflight::require_initial_pid_namespace()?;
    }
    Ok(tracefs)
}

/// Makes sure that there is a process with this id, or nothing would ever be seen.
fn require_process(pid: u32) -> Result<()> {
    let wrong = match process::of_thread(pid) {
        _ if !process::is_there(pid) => format!(
            "--pid {pid}: there is no such process; give the id of one that runs, as ps shows it"
        ),
        Some(process) if process != pid => format!(
            "--pid {pid}: this is a thread of process {process}; give --pid {process} to observe all of it"
        ),
        _ => return Ok(()),
    };
    Err(WrongUsage(wrong).into())
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

    /// Says on standard error what is not seen, in one line.
    pub(super) fn note_unseen(&self) {
        let unseen: Vec<_> = self
            .coverage
            .unseen()
            .map(|name| format!("{name} ({})", coverage::in_short(name)))
            .collect();
        if !unseen.is_empty() {
            status::note(format_args!(
                "note: not seen: {}; `connect-observer check` says why",
                unseen.join(", ")
            ));
        }
    }
}
