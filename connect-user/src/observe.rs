//! `trace` and `run`: from live hooks to the last total.

use std::{
    collections::BTreeMap,
    env,
    ffi::OsString,
    fs,
    io::{IsTerminal as _, stdout},
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use connect_ebpf::record::VIA_UNKNOWN;
use jiff::{Timestamp, tz::TimeZone};
use rustix::{process::Signal, termios::tcgetwinsize};
use tokio::{
    signal::unix::{self, SignalKind, signal},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use crate::{
    attach::{self, Attached, Plan, Scope, Survey},
    cli::{Color, Format, Options, Run},
    clock::Clock,
    collect::{Collector, Loss},
    command::{self, Observed},
    coverage::Coverage,
    decode::{self, decode},
    event::{Event, Lost, Notice},
    metrics::{self, Metrics, health::LossCounts},
    notify::Notifier,
    output::{End, Output},
    preflight,
    serve::Bound,
    sink::{Sink, Style, Summary, Table},
    status,
    totals::{Tally, Totals},
};

/// How often the ring buffer is drained. The kernel object wakes us earlier when it fills.
const DRAIN_EVERY: Duration = Duration::from_millis(10);
/// How often losses are looked for.
const ACCOUNT_EVERY: Duration = Duration::from_millis(100);
/// How many records are taken at once before signals are looked at again.
const BATCH: usize = 4096;
/// How long a reader who does not read may hold up the end, once the end was asked for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Observes the host.
///
/// # Errors
///
/// Something is missing, or the output fails.
pub fn trace(options: &Options) -> Result<ExitCode> {
    block_on(observe(options, &[]))
}

/// Observes a command; the exit code is the command's.
///
/// # Errors
///
/// Something is missing, the command cannot be started, or the output fails.
pub fn run(run: &Run) -> Result<ExitCode> {
    block_on(observe(&run.options, &run.command))
}

pub(crate) fn block_on(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    // One thread is enough, and the command must be started by the thread that is followed.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(work)
}

/// Why the observation ends.
enum Stop {
    /// SIGINT, SIGTERM, SIGQUIT or SIGHUP.
    Signal,
    /// `--duration`, `--count`, or the reader went away.
    Done,
    /// The command has ended.
    Command(ExitStatus),
}

async fn observe(options: &Options, words: &[OsString]) -> Result<ExitCode> {
    let tracefs = preflight::require()?;
    let scope = if words.is_empty() {
        Scope::Host
    } else {
        Scope::Lineage
    };
    if scope == Scope::Lineage || options.filters.pid.is_some() {
        preflight::require_initial_pid_namespace()?;
    }
    // Before signals are taken over: opening a FIFO waits for its reader.
    let output = Output::open(options.output_file.as_deref())?;
    let bound = options.serving.listen.as_deref().map(Bound::listen);
    let bound = bound.transpose()?;
    let metrics = bound.as_ref().map_or(metrics::Plan::RECORDS, |bound| {
        metrics::Plan::of(&options.serving, bound, true)
    });
    let mut signals = Signals::listen()?;
    let survey = Survey::of(&tracefs);
    let plan = Plan {
        filters: &options.filters,
        capacity: options.capacity,
        scope,
        survey: &survey,
        means: &options.means,
        settled_only: options.settled || options.summary,
        metrics,
    };
    let (mut attached, collector) = attach::attach(&tracefs, plan)?;
    let losses = LossCounts::default();
    // Held to the end.
    let _server = match bound {
        Some(bound) => {
            let metrics = Metrics::new(&mut attached, metrics, &options.serving, losses.clone())?;
            let server = bound.serve(metrics)?;
            status::say(format_args!("note: metrics on {}", server.url()));
            Some(server)
        }
        None => None,
    };
    let coverage = Coverage::of(&survey, attached.functions(), &options.means);
    announce(scope, &coverage);
    let mut session = Session::begin(options, coverage, collector, output, losses);
    session.notifier.ready();
    let mut command = match scope {
        Scope::Host => None,
        Scope::Lineage => match Observed::start(words, &mut attached) {
            Ok(command) => Some(command),
            Err(error) => {
                drop(attached);
                session.end()?;
                session.deliver(&mut signals, None, Some(PATIENCE)).await?;
                return Err(error);
            }
        },
    };

    let stop = session
        .watch(
            &mut attached,
            &mut signals,
            command.as_mut(),
            options.duration,
        )
        .await?;
    if let Stop::Command(_) = stop {
        let left = attached.followed();
        if left > 0 {
            status::say(format_args!(
                "note: the command has ended; {left} tasks that it left behind are observed no more"
            ));
        }
    }
    session.notifier.stopping();
    // From here on nothing new comes, so what is drained and counted is all there is.
    drop(attached);
    session.end()?;
    let patience = matches!(stop, Stop::Signal).then_some(PATIENCE);
    let running = match stop {
        Stop::Command(_) => None,
        Stop::Signal | Stop::Done => command.as_ref(),
    };
    let result = session.deliver(&mut signals, running, patience).await;

    let Some(command) = command.as_mut() else {
        return result.map(|()| ExitCode::SUCCESS);
    };
    let ended = match stop {
        Stop::Command(ended) => ended,
        Stop::Signal | Stop::Done => wait(command, &mut signals).await?,
    };
    result.map(|()| command::exit_code(ended))
}

/// Says that the hooks are live, and what they do not see.
fn announce(scope: Scope, coverage: &Coverage) {
    note_unseen(coverage);
    if scope == Scope::Host {
        status::say("ready: observing every connect of this host; end with ^C");
    }
}

/// Says what is not seen.
pub(crate) fn note_unseen(coverage: &Coverage) {
    let unseen: Vec<_> = coverage
        .unseen()
        .map(|(what, why)| format!("{what} ({why})"))
        .collect();
    if !unseen.is_empty() {
        status::say(format_args!("note: not seen: {}", unseen.join(", ")));
    }
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

/// The signals that end the observation, or are passed on to the command.
pub(crate) struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    quit: unix::Signal,
    /// None where it is ignored, as under nohup(1).
    hangup: Option<unix::Signal>,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            quit: listen(SignalKind::quit())?,
            hangup: if is_ignored(Signal::HUP) {
                None
            } else {
                Some(listen(SignalKind::hangup())?)
            },
        })
    }

    pub(crate) async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.quit.recv() => Signal::QUIT,
            () = received(self.hangup.as_mut()) => Signal::HUP,
        }
    }
}

/// A signal; never, if it is not listened for.
async fn received(signal: Option<&mut unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Whether whoever started us wants a signal to be ignored: `SigIgn` in `proc_pid_status(5)`.
fn is_ignored(signal: Signal) -> bool {
    let ignored = fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let mask = status
                .lines()
                .find_map(|line| line.strip_prefix("SigIgn:"))?;
            u64::from_str_radix(mask.trim(), 16).ok()
        });
    ignored.is_some_and(|mask| mask >> (signal.as_raw() - 1) & 1 == 1)
}

/// Records on their way from the ring buffer to the output, and the account of both.
struct Session {
    collector: Collector,
    sink: Sink,
    output: Output,
    /// Connects that the output has taken.
    taken: Tally,
    /// How many connects were asked for, if a number was.
    wanted: Option<u64>,
    /// Whether attempts are shown when they are settled, and so an outcome counts as a connect.
    settled_only: bool,
    /// Whether only failures were asked for.
    failed_only: bool,
    totals: Totals,
    /// Losses that the stream has not told of yet.
    untold: BTreeMap<&'static str, u64>,
    /// Losses on their way to the metrics.
    losses: LossCounts,
    notifier: Notifier,
    /// For one line.
    line: Vec<u8>,
}

impl Session {
    fn begin(
        options: &Options,
        coverage: Coverage,
        collector: Collector,
        output: Output,
        losses: LossCounts,
    ) -> Self {
        let mut session = Self {
            collector,
            sink: sink(options),
            output,
            taken: Tally::default(),
            wanted: options.count,
            settled_only: options.settled || options.summary,
            failed_only: options.filters.failed,
            totals: Totals::default(),
            untold: BTreeMap::new(),
            losses,
            notifier: Notifier::from_env(),
            line: Vec::new(),
        };
        session.sink.begin(&mut session.line);
        session.output.insist(&session.line);
        session.insist(&Event::Notice(Notice::Start {
            timestamp: Timestamp::now(),
            coverage,
        }));
        session.output.flush();
        session
    }

    /// Drains until there is a reason to stop.
    async fn watch(
        &mut self,
        attached: &mut Attached,
        signals: &mut Signals,
        mut command: Option<&mut Observed>,
        duration: Option<Duration>,
    ) -> Result<Stop> {
        let deadline = duration.and_then(|duration| Instant::now().checked_add(duration));
        let mut tick = interval(DRAIN_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut accounted = Instant::now();
        let mut more = false;
        loop {
            tokio::select! {
                biased;
                signal = signals.next() => match command.as_deref() {
                    Some(command) => command.pass_on(signal),
                    None => return Ok(Stop::Signal),
                },
                ended = ended(command.as_deref_mut()) => return ended.map(Stop::Command),
                () = at(deadline) => return Ok(Stop::Done),
                () = std::future::ready(()), if more => {}
                () = self.collector.woken() => {}
                _ = tick.tick() => {}
            }
            more = self.drain(BATCH);
            attached.log();
            if accounted.elapsed() >= ACCOUNT_EVERY {
                accounted = Instant::now();
                self.account()?;
                self.losses.publish(&self.totals);
                self.notifier.alive();
                if self.output.reader_is_gone() {
                    return Ok(Stop::Done);
                }
            }
            self.output.flush();
            if self.enough() || self.output.has_ended() {
                return Ok(Stop::Done);
            }
        }
    }

    fn enough(&self) -> bool {
        self.wanted
            .is_some_and(|wanted| shown(self.taken, self.settled_only) >= wanted)
    }

    /// Takes up to `limit` records; true if there may be more.
    fn drain(&mut self, limit: usize) -> bool {
        let clock = Clock::now();
        let Self {
            collector,
            sink,
            output,
            taken,
            wanted,
            settled_only,
            totals,
            untold,
            line,
            ..
        } = self;
        let mut lose = |loss: Loss| {
            totals.lose(loss, 1);
            *untold.entry(loss.name()).or_default() += 1;
        };
        collector.drain(limit, |bytes| {
            if wanted.is_some_and(|wanted| shown(*taken, *settled_only) >= wanted) {
                return;
            }
            let event = match decode(bytes, clock) {
                Ok(event) => event,
                Err(malformed) => {
                    log::warn!("record not shown: {malformed}");
                    lose(Loss::Malformed);
                    return;
                }
            };
            let tally = Tally::of(&event);
            line.clear();
            sink.write(&event, line);
            if output.offer(line, tally) {
                *taken += tally;
            } else {
                lose(Loss::OutputFull);
            }
        })
    }

    /// Asks the kernel what was lost, and tells the stream of every loss as soon as it has room.
    fn account(&mut self) -> Result<()> {
        self.ask_kernel()?;
        for (event, reason) in self.lost_events() {
            self.line.clear();
            self.sink.write(&event, &mut self.line);
            if !self.output.offer(&self.line, Tally::default()) {
                break;
            }
            self.untold.remove(reason);
        }
        Ok(())
    }

    fn ask_kernel(&mut self) -> Result<()> {
        for (loss, count) in self.collector.losses()? {
            self.totals.lose(loss, count);
            *self.untold.entry(loss.name()).or_default() += count;
        }
        Ok(())
    }

    fn lost_events(&self) -> Vec<(Event, &'static str)> {
        let timestamp = Timestamp::now();
        self.untold
            .iter()
            .map(|(&reason, &count)| {
                let lost = Lost {
                    timestamp,
                    count,
                    reason,
                };
                (Event::Lost(lost), reason)
            })
            .collect()
    }

    /// Takes what is left in the ring buffer, and ends the stream with the last losses and the
    /// totals.
    fn end(&mut self) -> Result<()> {
        while self.drain(BATCH) {}
        self.count_unsettled();
        self.ask_kernel()?;
        for (event, _) in self.lost_events() {
            self.insist(&event);
        }
        let totals = Totals {
            tally: self.taken,
            ..self.totals.clone()
        };
        let timestamp = Timestamp::now();
        for line in self.sink.end(&totals, timestamp) {
            self.output.insist(&line);
        }
        self.insist(&Event::Notice(Notice::Stop { timestamp, totals }));
        self.output.complete();
        Ok(())
    }

    /// Attempts that nobody has settled are counted, and shown now where they have not been yet.
    fn count_unsettled(&mut self) {
        let clock = Clock::now();
        let unsettled: Vec<_> = self.collector.unsettled().collect();
        self.totals.unsettled = unsettled.len() as u64;
        if !self.settled_only || self.failed_only {
            return;
        }
        for record in unsettled {
            if record.call.via == VIA_UNKNOWN {
                // There was no call that could be shown.
                continue;
            }
            match decode::unsettled(&record, clock) {
                Ok(connect) => {
                    let event = Event::Connect(connect);
                    let tally = Tally::of(&event);
                    self.line.clear();
                    self.sink.write(&event, &mut self.line);
                    if self.output.offer(&self.line, tally) {
                        self.taken += tally;
                    } else {
                        self.lose(Loss::OutputFull);
                    }
                }
                Err(malformed) => {
                    log::warn!("record not shown: {malformed}");
                    self.lose(Loss::Malformed);
                }
            }
        }
    }

    fn lose(&mut self, loss: Loss) {
        self.totals.lose(loss, 1);
        *self.untold.entry(loss.name()).or_default() += 1;
    }

    /// Waits for the reader: as long as it takes, or, with `patience`, as long as it reads on.
    /// Then says the totals.
    async fn deliver(
        &mut self,
        signals: &mut Signals,
        running: Option<&Observed>,
        mut patience: Option<Duration>,
    ) -> Result<()> {
        while !self.output.has_ended() {
            let give_up = patience.and_then(|patience| Instant::now().checked_add(patience));
            tokio::select! {
                () = self.output.progress() => {}
                signal = signals.next() => {
                    patience = Some(PATIENCE);
                    if let Some(command) = running {
                        command.pass_on(signal);
                    }
                }
                () = at(give_up) => break,
            }
        }
        let (end, delivered) = self.output.result();
        let undelivered = self.taken.all() - delivered.all();
        let loss = match end {
            Some(End::Closed) => Loss::OutputClosed,
            Some(End::Written | End::Failed(_)) | None => Loss::OutputFull,
        };
        self.totals.tally = delivered;
        self.totals.lose(loss, undelivered);
        status::say(&self.totals);
        match end {
            Some(End::Failed(error)) => {
                Err(anyhow!(error).context(format!("cannot write to {}", self.output.name())))
            }
            Some(End::Written | End::Closed) | None => Ok(()),
        }
    }

    fn insist(&mut self, event: &Event) {
        self.line.clear();
        self.sink.write(event, &mut self.line);
        self.output.insist(&self.line);
    }
}

/// How many connects have been shown, where an outcome may stand for one.
const fn shown(tally: Tally, settled_only: bool) -> u64 {
    if settled_only {
        tally.all()
    } else {
        tally.events
    }
}

/// The command's end; never, without a command.
async fn ended(command: Option<&mut Observed>) -> Result<ExitStatus> {
    match command {
        Some(command) => command.ended().await,
        None => std::future::pending().await,
    }
}

/// A point in time; never, if there is none.
pub(crate) async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn sink(options: &Options) -> Sink {
    match (options.output, options.summary) {
        (Format::Json, false) => Sink::Json,
        (Format::Json, true) => Sink::JsonSummary(Summary::default()),
        (Format::Table, false) => Sink::Table(table(options)),
        (Format::Table, true) => Sink::TableSummary(table(options), Summary::default()),
    }
}

fn table(options: &Options) -> Table {
    let terminal = options.output_file.is_none() && stdout().is_terminal();
    Table::new(Style {
        color: color(options.color, terminal),
        width: terminal
            .then(|| tcgetwinsize(stdout()).ok())
            .flatten()
            .map(|size| size.ws_col)
            .filter(|&columns| columns > 0),
        time_zone: TimeZone::system(),
        explain: options.explain,
    })
}

/// `NO_COLOR`: see no-color.org; an option that was typed beats it.
fn color(asked: Color, terminal: bool) -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    match asked {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            terminal && !set("NO_COLOR") && env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}
