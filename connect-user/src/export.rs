//! `export`: metrics without events, or with them.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::{
    attach::{self, Plan, Scope, Survey},
    cli::{Color, Export, Options, Serving},
    coverage::Coverage,
    metrics::{self, Metrics, health::LossCounts},
    notify::Notifier,
    observe::{self, Signals, at, block_on, note_unseen},
    preflight,
    serve::{Bound, DEFAULT_ADDRESS},
    status,
    totals::{Tally, Totals},
};

/// How often losses are looked for and systemd is told.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Serves metrics of the host until a signal comes.
///
/// # Errors
///
/// Something is missing, the address cannot be listened on, or the output of events fails.
pub fn export(export: &Export) -> Result<ExitCode> {
    let serving = Serving {
        listen: Some(
            export
                .serving
                .listen
                .clone()
                .unwrap_or_else(|| DEFAULT_ADDRESS.to_owned()),
        ),
        ..export.serving.clone()
    };
    match export.output {
        None => block_on(serve_only(export, &serving)),
        Some(output) => observe::trace(&Options {
            output,
            output_file: export.output_file.clone(),
            color: Color::Auto,
            summary: false,
            explain: false,
            settled: false,
            duration: export.duration,
            count: None,
            means: export.means.clone(),
            serving,
            filters: export.filters.clone(),
            capacity: export.capacity,
        }),
    }
}

/// No record is made at all, so there is nothing to drain.
async fn serve_only(export: &Export, serving: &Serving) -> Result<ExitCode> {
    let tracefs = preflight::require()?;
    if export.filters.pid.is_some() {
        preflight::require_initial_pid_namespace()?;
    }
    let bound = Bound::listen(serving.listen.as_deref().unwrap_or(DEFAULT_ADDRESS))?;
    let metrics = metrics::Plan::of(serving, &bound, false);
    let mut signals = Signals::listen()?;
    let survey = Survey::of(&tracefs);
    let plan = Plan {
        filters: &export.filters,
        capacity: export.capacity,
        scope: Scope::Host,
        survey: &survey,
        means: &export.means,
        settled_only: false,
        metrics,
    };
    let (mut attached, mut collector) = attach::attach(&tracefs, plan)?;
    let losses = LossCounts::default();
    let metrics = Metrics::new(&mut attached, metrics, serving, losses.clone())?;
    let counters = metrics.counters();
    let server = bound.serve(metrics)?;
    let mut notifier = Notifier::from_env();
    note_unseen(&Coverage::of(&survey, attached.functions(), &export.means));
    status::say(format_args!(
        "ready: metrics of every connect of this host on {}; end with ^C",
        server.url()
    ));
    notifier.ready();

    let mut totals = Totals::default();
    let deadline = export
        .duration
        .and_then(|duration| Instant::now().checked_add(duration));
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = signals.next() => break,
            () = at(deadline) => break,
            _ = tick.tick() => {}
        }
        attached.log();
        for (loss, count) in collector.losses()? {
            totals.lose(loss, count);
        }
        losses.publish(&totals);
        notifier.alive();
    }
    notifier.stopping();
    drop(attached);
    drop(server);
    for (loss, count) in collector.losses()? {
        totals.lose(loss, count);
    }
    let sums = counters.sums()?;
    totals.tally = Tally {
        events: sums.returned,
        failed: sums.failed,
        in_progress: sums.in_progress,
        outcomes: sums.established + sums.outcomes_failed + sums.abandoned,
        established: sums.established,
        outcomes_failed: sums.outcomes_failed,
        abandoned: sums.abandoned,
    };
    totals.unsettled = collector.unsettled().count() as u64;
    status::say(&totals);
    Ok(ExitCode::SUCCESS)
}
