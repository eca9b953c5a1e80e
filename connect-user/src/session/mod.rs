//! One observation, from live hooks to the last total.
//!
//! With events, records go from the ring buffer to the output (`stream.rs`); without, the kernel object
//! only counts, and metrics are served.

mod account;
mod live;
mod outage;
mod scope;
mod signals;
mod stream;
mod writer;

use std::{
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::time::{MissedTickBehavior, interval};

use self::{
    account::Account,
    live::{Live, Served, listen, require},
    signals::{Signals, at, deadline},
    stream::{PATIENCE, Stop, Stream, Waiting},
};
use crate::{
    command::{self, Observed},
    event::Notice,
    notify::Notifier,
    observation::{Destination, Events, Observation, Whom},
    output::Output,
    status,
    totals::{Scope, Tally},
    user::User,
};

/// How often, without events, losses are looked for, and systemd hears that we live.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Observes; the exit code is that of the command, if one is observed.
///
/// # Errors
///
/// Something is missing, the command cannot be started, the address cannot be listened on, or the output
/// fails.
pub fn observe(observation: &Observation) -> Result<ExitCode> {
    // One thread is enough, and the command must be started by the thread that is followed.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(async {
            match &observation.events {
                Some(events) => show(observation, events).await,
                None => count(observation).await,
            }
        })
}

/// Writes events, and serves metrics if they are asked for.
async fn show(observation: &Observation, events: &Events) -> Result<ExitCode> {
    let order = match &observation.whom {
        Whom::Host => None,
        Whom::Command(order) => Some(order),
    };
    let user = order.and_then(|order| order.user.as_deref());
    let user = user.map(User::find).transpose()?;
    let tracefs = require(observation)?;
    // Before signals are taken over: opening a FIFO waits for its reader.
    let output = Output::open(&events.to, events.on_failure)?;
    let bound = listen(observation)?;
    let reopens = matches!(events.to, Destination::File(_));
    // A command inherits that it is ignored, so for one it stays as it is.
    let mut signals = Signals::listen(reopens && order.is_none())?;
    let live = Live::begin(&tracefs, observation, bound)?;
    if let Some(served) = &live.served {
        let url = served.server.url();
        status::note(format_args!("note: metrics on {url}"));
    }
    live.note_unseen();
    let ready = || {
        let (scope, end) = (scope::of(observation), scope::end(observation));
        status::note(format_args!("ready: observing {scope}; {end}"));
    };
    if order.is_none() {
        ready();
    }
    let Live {
        links,
        mut log,
        mut lineage,
        collector,
        coverage,
        since,
        losses,
        // Held to the end.
        served: _served,
    } = live;
    let start = Notice::Start {
        timestamp: since,
        coverage,
    };
    let started = order.map(|order| {
        let started = Observed::start(order, user.as_ref(), &mut lineage);
        if started.is_ok() {
            ready();
        }
        started
    });
    let mut stream = Stream::begin(observation, events, output, collector, start, losses)?;
    let mut command = match started.transpose() {
        Ok(command) => command,
        Err(error) => {
            drop(links);
            stream.end()?;
            stream.deliver(&mut signals, None, Some(PATIENCE)).await?;
            return Err(error);
        }
    };

    let waiting = Waiting {
        signals: &mut signals,
        command: command.as_mut(),
        lineage: &mut lineage,
        follow: order.is_some_and(|order| order.follow),
        duration: observation.until.duration,
    };
    let stop = stream.run(&mut log, waiting).await?;
    if let Stop::Command(_) = stop {
        let left = lineage.tasks();
        if left > 0 {
            let (tasks, run, are) = if left == 1 {
                ("task", "runs", "is")
            } else {
                ("tasks", "run", "are")
            };
            status::note(format_args!(
                "note: the command has ended; {left} {tasks} that it started still {run}, and {are} observed no more \
                 (see --follow)"
            ));
        }
    }
    stream.stopping();
    // From here on nothing new comes, so what is drained and counted is all there is.
    drop(links);
    stream.end()?;
    let patience = matches!(stop, Stop::Signal).then_some(PATIENCE);
    let running = match stop {
        Stop::Command(_) => None,
        Stop::Signal | Stop::Done => command.as_ref(),
    };
    let result = stream.deliver(&mut signals, running, patience).await;

    let Some(command) = command.as_mut() else {
        return result.map(|()| ExitCode::SUCCESS);
    };
    let ended = match stop {
        Stop::Command(ended) => ended,
        Stop::Signal | Stop::Done => wait(command, &mut signals).await?,
    };
    result.map(|()| command::exit_code(ended))
}

/// Waits for a command that is observed no more.
async fn wait(command: &mut Observed, signals: &mut Signals) -> Result<ExitStatus> {
    loop {
        tokio::select! {
            ended = command.ended() => return ended,
            signal = signals.next() => command.pass_on(signal),
        }
    }
}

/// Serves metrics only. No record is made at all, so there is nothing to drain.
async fn count(observation: &Observation) -> Result<ExitCode> {
    let tracefs = require(observation)?;
    let bound = listen(observation)?;
    let mut signals = Signals::listen(false)?;
    let live = Live::begin(&tracefs, observation, bound)?;
    let mut notifier = Notifier::from_env();
    live.note_unseen();
    let Live {
        links,
        mut log,
        mut collector,
        losses,
        served,
        ..
    } = live;
    let Served { server, counters } = served.context("neither events nor metrics are asked for")?;
    status::note(format_args!(
        "ready: metrics of {} on {}; {}",
        scope::of(observation),
        server.url(),
        scope::end(observation)
    ));
    notifier.ready();

    let mut account = Account::new(losses, Scope::Counters);
    let deadline = deadline(observation.until.duration);
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = signals.next() => break,
            () = at(deadline) => break,
            _ = tick.tick() => {}
        }
        log.pass_on();
        account.ask(&mut collector)?;
        account.publish();
        notifier.alive();
    }
    notifier.stopping();
    drop(links);
    drop(server);
    account.ask(&mut collector)?;
    account.unsettled(collector.unsettled().count());
    let sums = counters.sums()?;
    status::note(account.totals(Tally {
        events: sums.returned,
        failed: sums.failed,
        in_progress: sums.in_progress,
        outcomes: sums.established + sums.outcomes_failed + sums.abandoned,
        established: sums.established,
        outcomes_failed: sums.outcomes_failed,
        abandoned: sums.abandoned,
        ..Tally::default()
    }));
    Ok(ExitCode::SUCCESS)
}
