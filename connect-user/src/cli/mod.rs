//! What can be typed, and what it means: an [`Observation`] for each command that observes.
//!
//! [`Observation`]: crate::observation::Observation

#![expect(
    clippy::doc_markdown,
    reason = "the text is shown by --help as it stands"
)]

mod meaning;
mod values;

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, CommandFactory as _, Parser, Subcommand, error::ErrorKind};
use connect_ebpf::{attempt::ATTEMPTS_ENTRIES, settings};

use crate::{
    observation::{Color, Format, Hooks, Label},
    value,
};

/// Shows every connect(2) a Linux host makes, why it failed, and what became of it.
#[derive(Debug, Parser)]
#[command(
    name = "connect-observer",
    version,
    after_help = "Exit status: 0 done, 1 failed, 2 wrong usage; `run` exits with its command's own, with 127 \
                  for a command that is not found, and with 126 for one that cannot be executed."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Log more or less on standard error: error, warn, info, debug, trace, or RUST_LOG's syntax.
    #[arg(long, global = true, value_parser = value::log_level, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

impl Cli {
    /// Reads the command line; exits with a message and status 2 if it makes no sense.
    #[must_use]
    pub fn read() -> Self {
        let cli = Self::parse();
        if let Command::Trace(options) | Command::Run(Run { options, .. }) = &cli.command
            && !options.serving.labels.is_empty()
            && options.serving.listen.is_none()
        {
            Self::command()
                .error(
                    ErrorKind::MissingRequiredArgument,
                    "--label is about metrics, which are served with --listen ADDR",
                )
                .exit();
        }
        if let Command::Trace(options) | Command::Run(Run { options, .. }) = &cli.command
            && options.explain
            && options.output == Format::Json
        {
            Self::command()
                .error(
                    ErrorKind::ArgumentConflict,
                    "--explain writes lines under those of the table, so it does not go with --output json",
                )
                .exit();
        }
        cli
    }

    /// Whether standard error is to be left to errors.
    #[must_use]
    pub const fn is_quiet(&self) -> bool {
        match &self.command {
            Command::Trace(options) | Command::Run(Run { options, .. }) => options.quiet,
            Command::Export(export) => export.quiet,
            Command::Explain { .. } | Command::Check => false,
        }
    }
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the connects of the whole host, until ^C.
    Trace(Options),
    /// Start COMMAND and show the connects of it and its descendants, until it ends.
    Run(Run),
    /// Serve metrics for Prometheus: exact counts of every connect, made in the kernel.
    Export(Export),
    /// Say what an errno or outcome of connect means, where it comes from and what to look at; or list
    /// all.
    Explain {
        /// An errno by name or number: ECONNREFUSED, econnrefused, 111, -111; or an outcome: established,
        /// failed, abandoned, superseded, associated, dissolved, killed.
        #[arg(allow_negative_numbers = true, value_name = "ERRNO|OUTCOME")]
        what: Option<String>,
    },
    /// Say what this kernel and these privileges allow, and what stays unseen.
    Check,
}

/// `run`: the options of `trace`, and a command.
#[derive(Debug, Args)]
#[command(
    mut_arg("output_file", |option| option.help(RUN_FILE)),
    mut_arg("quiet", |option| option.help(RUN_QUIET)),
    mut_arg("duration", |option| option.help(RUN_DURATION)),
    mut_arg("count", |option| option.help(RUN_COUNT)),
    override_usage = "connect-observer run [OPTIONS] [--] <COMMAND> [ARG]...",
    after_help = "The first word that is neither an option nor the value of one is the command; whatever \
                  follows belongs to it. -- in front of it says so for a command that begins with a dash.\n\n\
                  Exit status: the command's own; 128 and the signal's number if a signal ended it; 127 for a \
                  command that is not found, 126 for one that cannot be executed; 1 if the observation failed, \
                  2 for wrong usage."
)]
pub struct Run {
    /// Start COMMAND as this user, a name or a number of the user database: with that user's groups, without
    /// root's capabilities, and with HOME, SHELL, USER and LOGNAME set accordingly.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// When COMMAND ends, go on until everything that it has started has ended as well, daemons included; ^C
    /// ends it earlier. The exit status is COMMAND's.
    #[arg(long)]
    pub follow: bool,
    /// How to observe, and how to show it.
    #[command(flatten)]
    pub options: Options,
    /// The command to observe, with its arguments; `run` exits with its status.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// What `run --help` says of `-o`: standard output belongs to the command.
const RUN_FILE: &str = "Append events to FILE instead of standard error; - is standard output, which COMMAND has \
                        too. A new file is readable by its owner only. SIGHUP opens FILE again, for rotation, and \
                        is passed on to COMMAND like other signals";

/// What `run --help` says of `--duration`: the command is not ended.
const RUN_DURATION: &str = "Stop observing after this time: 500ms, 10s, 1m, 1h30m; a plain number is seconds. COMMAND \
                            goes on, and is waited for";

/// What `run --help` says of `--count`.
const RUN_COUNT: &str =
    "Stop observing after this many connects. COMMAND goes on, and is waited for";

/// What `run --help` says of `--quiet`: events go to standard error, too.
const RUN_QUIET: &str = "Write nothing but events, errors and warnings to standard error: no notes, no totals, and \
                         not the line that begins with `ready`. The notices within JSON stay";

/// `export`: what to count, where to serve it, and whether to write events as well.
#[derive(Debug, Args)]
#[command(mut_arg("listen", |option| option.help(EXPORT_LISTEN)))]
pub struct Export {
    /// Write events as well as metrics, to standard output or the FILE of -o; without this, the kernel makes no
    /// records at all.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Append events to FILE instead of standard output; - is standard output. A new file is readable by its
    /// owner only. SIGHUP opens FILE again, for rotation. What cannot be written, as on a full disk, is counted
    /// as lost, and metrics are served on.
    #[arg(short = 'o', long, value_name = "FILE", requires = "output")]
    pub output_file: Option<PathBuf>,
    /// Write nothing but errors and warnings to standard error: no notes, no totals, and not the line that
    /// begins with `ready`. The notices within JSON stay.
    #[arg(short, long)]
    pub quiet: bool,
    /// Stop after this time: 500ms, 10s, 1m, 1h30m; a plain number is seconds.
    #[arg(long, value_parser = value::duration, value_name = "TIME")]
    pub duration: Option<Duration>,
    /// By which means.
    #[command(flatten)]
    pub means: Means,
    /// Where to serve metrics, and which.
    #[command(flatten)]
    pub serving: Serving,
    /// Whom and what to count.
    #[command(flatten)]
    pub filters: Filters,
    /// Room in the kernel.
    #[command(flatten)]
    pub capacity: Capacity,
}

/// What `export --help` says of `--listen`.
const EXPORT_LISTEN: &str = "Serve on this address, or with :PORT alone on every address of this host [default: \
                             127.0.0.1:9788]";

/// How metrics are served.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Metrics")]
pub struct Serving {
    /// Serve Prometheus metrics meanwhile, on this address, or with :PORT alone on every address of this host.
    #[arg(long, value_parser = value::listen, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// Also count connects by this, in the metrics that are served; may be given several times, or with commas.
    #[arg(
        long = "label",
        value_enum,
        value_delimiter = ',',
        value_name = "LABEL"
    )]
    pub labels: Vec<Label>,
    /// How many combinations of the labels of --label are told apart; what comes beyond goes into one series.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000), default_value_t = 1000, value_name = "N")]
    pub max_series: u32,
    /// Forget a combination of the labels of --label that was not counted for this time, written as 10s or 1h30m.
    #[arg(long, value_parser = value::duration, default_value = "1h", value_name = "TIME")]
    pub series_ttl: Duration,
}

/// What to observe, for how long, and how to show it.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option of its own"
)]
pub struct Options {
    /// How to write events.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub output: Format,
    /// Append events to FILE instead of standard output; - is standard output. A new file is readable by its
    /// owner only. SIGHUP opens FILE again, for rotation.
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output_file: Option<PathBuf>,
    /// Write nothing but errors and warnings to standard error: no notes, no totals, and not the line that
    /// begins with `ready`. The notices within JSON stay.
    #[arg(short, long)]
    pub quiet: bool,
    /// Colour in the table; `auto` is on a terminal only, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// Instead of events, write at the end who connected where how often, with what result.
    #[arg(long)]
    pub summary: bool,
    /// Under the first failure of its kind in each process, say what it usually means; with --summary, at
    /// the end for each result that occurs.
    #[arg(long)]
    pub explain: bool,
    /// Show each attempt once, when it is settled: not `EINPROGRESS`, but what became of it. What is
    /// not settled when the observation ends is shown then.
    #[arg(long)]
    pub settled: bool,
    /// Stop after this time: 500ms, 10s, 1m, 1h30m; a plain number is seconds.
    #[arg(long, value_parser = value::duration, value_name = "TIME")]
    pub duration: Option<Duration>,
    /// Stop after this many connects; with --settled, --failed or --summary, after this many attempts.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..), value_name = "N")]
    pub count: Option<u64>,
    /// By which means.
    #[command(flatten)]
    pub means: Means,
    /// Metrics meanwhile.
    #[command(flatten)]
    pub serving: Serving,
    /// Whom and what to show.
    #[command(flatten)]
    pub filters: Filters,
    /// Room in the kernel.
    #[command(flatten)]
    pub capacity: Capacity,
}

/// How the kernel is observed, and what that may cost.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Hooks")]
pub struct Means {
    /// Which kernel hooks to use.
    #[arg(long, value_enum, default_value_t = Hooks::Auto, value_name = "HOOKS")]
    pub hooks: Hooks,
    /// Do not look at the socket behind the descriptor: no transport, kind of socket, local address and
    /// attempt of calls that are not TCP's first; each call costs less.
    #[arg(long)]
    pub skip_socket: bool,
    /// Do not observe connects by io_uring, which makes each of its operations cost a little more; of
    /// TCP's, their outcome is still shown.
    #[arg(long)]
    pub skip_io_uring: bool,
    /// See 32-bit connects also where the kernel refuses hooks on its functions. Every system call of the host pays
    /// for it, more than for all other hooks (docs/cost.md). Where functions can be hooked, they show 32-bit connects
    /// anyway, and this changes nothing.
    #[arg(long)]
    pub compat: bool,
}

/// What is shown; decided in the kernel, so what is filtered out costs least.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Filters")]
pub struct Filters {
    /// Only this process.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pub pid: Option<u32>,
    /// Only processes of this real user id.
    #[arg(long, value_parser = value::uid)]
    pub uid: Option<u32>,
    /// Only addresses of this family: inet, inet6, unix, AF_VSOCK, 40, ... An IPv4-mapped address is inet.
    #[arg(long, value_parser = value::family)]
    pub family: Option<u16>,
    /// Only what failed, each attempt once: calls that returned an errno, and attempts that failed or were given up
    /// after their call; EINPROGRESS is not a failure, nor is an attempt that another address superseded.
    #[arg(long)]
    pub failed: bool,
}

/// How much the kernel keeps before it must drop, and count, what comes next.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Capacity")]
pub struct Capacity {
    /// Size of the ring buffer in KiB, a power of two.
    #[arg(long, value_parser = value::ring_kib, default_value_t = settings::RING_BYTES >> 10, value_name = "KIB")]
    pub ring_kib: u32,
    /// How many threads can be kept track of at once.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1 << 22), default_value_t = settings::INFLIGHT_ENTRIES, value_name = "N")]
    pub threads: u32,
    /// How many attempts in progress can be followed at once.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1 << 22), default_value_t = ATTEMPTS_ENTRIES, value_name = "N")]
    pub attempts: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
