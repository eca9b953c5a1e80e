//! Records on their way from the ring buffer to the output, until there is a reason to stop.

use std::{process::ExitStatus, time::Duration};

use anyhow::{Result, anyhow};
use connect_ebpf::code::Via;
use jiff::Timestamp;
use rustix::process::Signal;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{
    account::Account,
    outage::Outage,
    signals::{Signals, at, deadline},
    writer::Writer,
};
use crate::{
    attach::{KernelLog, maps::Lineage},
    clock::Clock,
    collect::Collector,
    command::Observed,
    decode::{self, Malformed, decode},
    event::{Event, Notice, Verdict},
    loss::Loss,
    metrics::health::LossCounts,
    notify::Notifier,
    observation::{Events, Observation, OnFailure},
    output::{End, Output, Undelivered},
    status,
    superseded::Rivals,
    totals::{Scope, Tally},
};

/// How often the ring buffer is drained. The kernel object wakes us earlier when it fills.
const DRAIN_EVERY: Duration = Duration::from_millis(10);
/// How often losses are looked for.
const ACCOUNT_EVERY: Duration = Duration::from_millis(100);
/// How often losses wait at most for what is still in the ring buffer.
const WAIT_MAX: u32 = 10;
/// How many records are taken at once before signals are looked at again.
const BATCH: usize = 4096;
/// How long a reader who does not read may hold up the end, once the end was asked for.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Why the observation ends.
pub(super) enum Stop {
    /// SIGINT, SIGTERM, SIGQUIT or SIGHUP.
    Signal,
    /// `--duration`, `--count`, or the reader went away.
    Done,
    /// The command has ended, and where it is followed, all that it has started.
    Command(ExitStatus),
}

/// Records on their way from the ring buffer to the output, and the account of both.
pub(super) struct Stream {
    collector: Collector,
    writer: Writer,
    account: Account,
    rivals: Rivals,
    notifier: Notifier,
    clock: Clock,
    /// How often losses have waited for what is still in the ring buffer.
    waited: u32,
    /// How many connects were asked for, if a number was.
    wanted: Option<u64>,
    /// Whether attempts are shown when they are settled, and so an outcome counts as a connect.
    settled_only: bool,
    /// Whether only failures were asked for.
    failed_only: bool,
    on_failure: OnFailure,
    outage: Outage,
    /// Connects and outcomes that the output has taken, and that are counted as lost.
    undelivered: Tally,
}

/// What an observation waits for, besides records.
pub(super) struct Waiting<'a> {
    pub(super) signals: &'a mut Signals,
    /// The command, if there is one.
    pub(super) command: Option<&'a mut Observed>,
    pub(super) lineage: &'a mut Lineage,
    /// Whether what the command leaves behind is observed to its end.
    pub(super) follow: bool,
    pub(super) duration: Option<Duration>,
}

impl Stream {
    /// Reports that the hooks are live, and what they see.
    ///
    /// # Errors
    ///
    /// Records have times of a clock that is not known here.
    pub(super) fn begin(
        observation: &Observation,
        events: &Events,
        output: Output,
        collector: Collector,
        start: Notice,
        losses: LossCounts,
    ) -> Result<Self> {
        let failed_only = observation.filters.failed;
        let scope = if failed_only {
            Scope::Failures
        } else {
            Scope::Everything
        };
        let mut stream = Self {
            clock: Clock::start()?,
            waited: 0,
            collector,
            writer: Writer::begin(events, output),
            account: Account::new(losses, scope),
            rivals: Rivals::default(),
            notifier: Notifier::from_env(),
            wanted: observation.until.count,
            settled_only: observation.settled_only(),
            failed_only,
            on_failure: events.on_failure,
            outage: Outage::default(),
            undelivered: Tally::default(),
        };
        stream.writer.insist(&Event::Notice(start));
        stream.writer.output().flush();
        stream.notifier.ready();
        Ok(stream)
    }

    /// Drains until there is a reason to stop.
    pub(super) async fn run(&mut self, log: &mut KernelLog, waiting: Waiting<'_>) -> Result<Stop> {
        let Waiting {
            signals,
            mut command,
            lineage,
            follow,
            duration,
        } = waiting;
        let deadline = deadline(duration);
        // How the command ended, while what it left behind is observed.
        let mut followed = None;
        let mut tick = interval(DRAIN_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut accounted = Instant::now();
        let mut more = false;
        loop {
            tokio::select! {
                biased;
                signal = signals.next() => {
                    let reopens = signal == Signal::HUP && self.reopen();
                    match command.as_deref() {
                        Some(command) if command.runs() => command.pass_on(signal),
                        _ if reopens => {}
                        _ => return Ok(Stop::Signal),
                    }
                }
                ended = ended(command.as_deref_mut()), if followed.is_none() => {
                    let ended = ended?;
                    let left = if follow { lineage.tasks() } else { 0 };
                    if left == 0 {
                        return Ok(Stop::Command(ended));
                    }
                    followed = Some(ended);
                    status::note(format_args!(
                        "note: the command has ended; tasks that it left behind are observed until they end, \
                         or ^C: {left}"
                    ));
                }
                () = at(deadline) => return Ok(Stop::Done),
                () = std::future::ready(()), if more => {}
                () = self.collector.woken() => {}
                _ = tick.tick() => {}
            }
            more = self.drain(BATCH);
            log.pass_on();
            if accounted.elapsed() >= ACCOUNT_EVERY {
                accounted = Instant::now();
                self.report_losses(more)?;
                self.account.publish();
                self.notifier.alive();
                if self.on_failure == OnFailure::End && self.writer.output().reader_is_gone() {
                    return Ok(Stop::Done);
                }
                if let Some(ended) = followed
                    && lineage.tasks() == 0
                {
                    return Ok(Stop::Command(ended));
                }
            }
            self.writer.output().flush();
            if self.is_enough() || self.writer.output().has_ended() {
                return Ok(Stop::Done);
            }
        }
    }

    /// Goes on in the file that has the output's name now; false if the output is no file.
    fn reopen(&mut self) -> bool {
        if self.writer.output().path().is_none() {
            return false;
        }
        if let Err(error) = self.writer.reopen() {
            let name = self.writer.output().name();
            status::say(format_args!(
                "error: cannot reopen {name}: {error:#}; events go on into the file that was open"
            ));
        }
        true
    }

    /// The end has begun.
    pub(super) fn stopping(&self) {
        self.notifier.stopping();
    }

    /// Takes what is left in the ring buffer, and ends the stream with the last losses and the
    /// totals.
    pub(super) fn end(&mut self) -> Result<()> {
        while self.drain(BATCH) {}
        self.count_unsettled();
        self.account.ask(&mut self.collector)?;
        self.count_undelivered();
        for lost in self.account.unreported() {
            self.writer.insist(&Event::Lost(lost));
        }
        let totals = self.account.totals(self.writer.taken() - self.undelivered);
        let timestamp = Timestamp::now();
        self.writer.end(&totals, timestamp);
        self.writer
            .insist(&Event::Notice(Notice::Stop { timestamp, totals }));
        self.writer.output().complete();
        Ok(())
    }

    /// Waits for the reader: as long as it takes, or, with `patience`, as long as it reads on.
    /// Then says the totals.
    pub(super) async fn deliver(
        &mut self,
        signals: &mut Signals,
        running: Option<&Observed>,
        mut patience: Option<Duration>,
    ) -> Result<()> {
        let taken = self.writer.taken();
        let output = self.writer.output();
        while !output.has_ended() {
            let give_up = patience.and_then(|patience| Instant::now().checked_add(patience));
            tokio::select! {
                () = output.progress() => {}
                signal = signals.next() => {
                    patience = Some(PATIENCE);
                    if let Some(command) = running {
                        command.pass_on(signal);
                    }
                }
                () = at(give_up) => break,
            }
        }
        let (end, delivered) = output.result();
        let name = output.name();
        self.count_undelivered();
        let loss = match end {
            Some(End::Closed) => Loss::OutputClosed,
            Some(End::Failed(_)) => Loss::OutputFailed,
            Some(End::Written) | None => Loss::OutputFull,
        };
        let known = delivered.all() + self.undelivered.all();
        self.account.lose(loss, taken.all().saturating_sub(known));
        status::note(self.account.totals(delivered));
        match end {
            Some(End::Failed(error)) => {
                Err(anyhow!(error).context(format!("cannot write to {name}")))
            }
            Some(End::Written | End::Closed) | None => Ok(()),
        }
    }

    fn is_enough(&self) -> bool {
        is_enough(self.wanted, &self.writer, self.settled_only)
    }

    /// Takes up to `limit` records; true if there may be more.
    fn drain(&mut self, limit: usize) -> bool {
        self.clock.look();
        let Self {
            clock,
            collector,
            writer,
            account,
            rivals,
            wanted,
            settled_only,
            failed_only,
            ..
        } = self;
        collector.drain(limit, |bytes| {
            if is_enough(*wanted, writer, *settled_only) {
                return;
            }
            let mut event = decode(bytes, clock);
            if let Ok(event) = &mut event {
                rivals.judge(event);
                if *failed_only && !has_failed(event) {
                    return;
                }
            }
            show(event, writer, account);
        })
    }

    /// Asks the kernel object what was lost, and reports every loss as soon as the stream has room. What is
    /// still in the ring buffer has happened before, and so comes before, if it is not too much.
    fn report_losses(&mut self, more: bool) -> Result<()> {
        self.account.ask(&mut self.collector)?;
        self.count_undelivered();
        let output = self.writer.output();
        self.outage.look(output.trouble(), || output.name());
        if more && self.waited < WAIT_MAX {
            self.waited += 1;
            return Ok(());
        }
        self.waited = 0;
        for lost in self.account.unreported() {
            let reason = lost.reason;
            if !self.writer.offer_loss(&lost) {
                break;
            }
            self.account.reported(reason);
        }
        Ok(())
    }

    /// Counts what the output had taken and could not write.
    fn count_undelivered(&mut self) {
        let Undelivered { lost, unreported } = self.writer.output().undelivered();
        for (loss, count) in lost {
            self.undelivered += count;
            self.account.lose(loss, count.all());
        }
        for (reason, count) in unreported {
            self.account.report_again(reason, count);
        }
    }

    /// Attempts that nobody has settled are counted, and shown now where they have not been yet.
    fn count_unsettled(&mut self) {
        self.clock.look();
        let unsettled: Vec<_> = self.collector.unsettled().collect();
        self.account.unsettled(unsettled.len());
        if !self.settled_only || self.failed_only {
            return;
        }
        for record in unsettled {
            // Where no call was seen, there is none that could be shown.
            if record.call.via != Via::Unknown.number() {
                let event = decode::unsettled(&record, &self.clock).map(Event::Connect);
                show(event, &mut self.writer, &mut self.account);
            }
        }
    }
}

/// Whether an event is about a failure. The kernel object also sends what was established, as an attempt that was
/// given up for it has not failed.
fn has_failed(event: &Event) -> bool {
    let verdict = match event {
        Event::Connect(connect) => connect.verdict(),
        Event::Outcome(outcome) => outcome.verdict(),
        Event::Lost(_) | Event::Notice(_) => return true,
    };
    matches!(verdict, Verdict::Failed | Verdict::Abandoned)
}

/// Writes an event, or counts its loss.
fn show(event: Result<Event, Malformed>, writer: &mut Writer, account: &mut Account) {
    match event {
        Ok(event) if writer.offer(&event) => {}
        Ok(_) => account.lose(Loss::OutputFull, 1),
        Err(malformed) => {
            log::warn!("record not shown: {malformed}");
            account.lose(Loss::Malformed, 1);
        }
    }
}

/// Whether as many connects have been shown as were asked for; an outcome may stand for one.
fn is_enough(wanted: Option<u64>, writer: &Writer, settled_only: bool) -> bool {
    let taken = writer.taken();
    let shown = if settled_only {
        taken.all()
    } else {
        taken.events
    };
    wanted.is_some_and(|wanted| shown >= wanted)
}

/// The command's end; never, without a command.
async fn ended(command: Option<&mut Observed>) -> Result<ExitStatus> {
    match command {
        Some(command) => command.ended().await,
        None => std::future::pending().await,
    }
}
