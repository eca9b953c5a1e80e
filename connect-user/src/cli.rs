//! What can be typed, and what it means: an [`Observation`] for each command that observes.

#![expect(
    clippy::doc_markdown,
    reason = "the text is shown by --help as it stands"
)]

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    Args, CommandFactory as _, Parser, Subcommand, ValueEnum, builder::PossibleValue,
    error::ErrorKind,
};
use connect_ebpf::{attempt::ATTEMPTS_ENTRIES, settings};

use crate::{
    observation::{self, Color, Events, Format, Hooks, Label, Observation, Until, Whom},
    value,
};

/// Where `export` listens by default.
const EXPORT_ADDRESS: &str = "127.0.0.1:9788";

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
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the connects of the whole host.
    Trace(Options),
    /// Start COMMAND and show the connects of it and its descendants, until it ends.
    Run(Run),
    /// Serve metrics for Prometheus: exact counts of every connect, made in the kernel.
    Export(Export),
    /// Say what an errno or outcome of connect means, where it comes from and what to look at; or list
    /// all.
    Explain {
        /// An errno by name or number: ECONNREFUSED, econnrefused, 111, -111; or an outcome: established,
        /// failed, abandoned, associated, dissolved, killed.
        #[arg(allow_negative_numbers = true, value_name = "ERRNO|OUTCOME")]
        what: Option<String>,
    },
    /// Say what this kernel and these privileges allow, and what stays unseen.
    Check,
}

/// `run`: the options of `trace`, and a command.
#[derive(Debug, Args)]
#[command(
    override_usage = "connect-observer run [OPTIONS] [--] <COMMAND> [ARG]...",
    after_help = "The first word that is neither an option nor the value of one is the command; whatever \
                  follows belongs to it. -- in front of it says so for a command that begins with a dash.\n\n\
                  Exit status: the command's own; 128 and the signal's number if a signal ended it; 127 for a \
                  command that is not found, 126 for one that cannot be executed; 1 if the observation failed, \
                  2 for wrong usage."
)]
pub struct Run {
    /// As for `trace`.
    #[command(flatten)]
    pub options: Options,
    /// The command to observe, with its arguments; `run` exits with its status.
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `export`: what to count, where to serve it, and whether to write events as well.
#[derive(Debug, Args)]
pub struct Export {
    /// Write events to standard output as well; without this, the kernel makes no records at all.
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub output: Option<Format>,
    /// Write events to this file instead of standard output.
    #[arg(short = 'o', long, value_name = "FILE", requires = "output")]
    pub output_file: Option<PathBuf>,
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

/// How metrics are served.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Metrics")]
pub struct Serving {
    /// Serve Prometheus metrics on this address, or with :PORT alone on every address of this host;
    /// `export` does so by default, on 127.0.0.1:9788.
    #[arg(long, value_parser = value::listen, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// Also count connects by this; may be given several times, or with commas.
    #[arg(
        long = "label",
        value_enum,
        value_delimiter = ',',
        value_name = "LABEL"
    )]
    pub labels: Vec<Label>,
    /// How many combinations of labels are told apart; what comes beyond goes into one series.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000), default_value_t = 1000, value_name = "N")]
    pub max_series: u32,
    /// Forget a combination of labels that was not counted for this time, written as 10s or 1h30m.
    #[arg(long, value_parser = value::duration, default_value = "1h", value_name = "TIME")]
    pub series_ttl: Duration,
}

/// What to observe, for how long, and how to show it.
#[derive(Debug, Args)]
pub struct Options {
    /// How to write events.
    #[arg(long, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub output: Format,
    /// Write events to this file instead of standard output.
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output_file: Option<PathBuf>,
    /// Colour in the table; `auto` is on a terminal only, unless NO_COLOR is set.
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub color: Color,
    /// Instead of events, write at the end who connected where how often, with what result.
    #[arg(long)]
    pub summary: bool,
    /// Under the first failure of its kind in each process, say what it usually means.
    #[arg(long, conflicts_with = "summary")]
    pub explain: bool,
    /// Show each attempt once, when it is settled: not `EINPROGRESS`, but what became of it. What is
    /// not settled when the observation ends is shown then.
    #[arg(long)]
    pub settled: bool,
    /// Stop after this time: 500ms, 10s, 1m, 1h30m; a plain number is seconds.
    #[arg(long, value_parser = value::duration, value_name = "TIME")]
    pub duration: Option<Duration>,
    /// Stop after this many connects.
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
}

/// What is shown; decided in the kernel, so what is filtered out costs least.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Filters")]
pub struct Filters {
    /// Only this process.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pub pid: Option<u32>,
    /// Only processes of this real user id.
    #[arg(long, value_parser = clap::value_parser!(u32).range(..i64::from(u32::MAX)))]
    pub uid: Option<u32>,
    /// Only addresses of this family: inet, inet6, unix, AF_VSOCK, 40, ... An IPv4-mapped address is inet.
    #[arg(long, value_parser = value::family)]
    pub family: Option<u16>,
    /// Only calls that failed; EINPROGRESS is not a failure.
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

impl From<Options> for Observation {
    fn from(options: Options) -> Self {
        Self {
            whom: Whom::Host,
            filters: options.filters.into(),
            means: options.means.into(),
            capacity: options.capacity.into(),
            events: Some(Events {
                format: options.output,
                file: options.output_file,
                color: options.color,
                summary: options.summary,
                explain: options.explain,
                settled: options.settled,
            }),
            serving: options.serving.served(None),
            until: Until {
                duration: options.duration,
                count: options.count,
            },
        }
    }
}

impl From<Run> for Observation {
    fn from(run: Run) -> Self {
        Self {
            whom: Whom::Command(run.command),
            ..run.options.into()
        }
    }
}

impl From<Export> for Observation {
    fn from(export: Export) -> Self {
        Self {
            whom: Whom::Host,
            filters: export.filters.into(),
            means: export.means.into(),
            capacity: export.capacity.into(),
            events: export.output.map(|format| Events {
                format,
                file: export.output_file,
                color: Color::Auto,
                summary: false,
                explain: false,
                settled: false,
            }),
            serving: export.serving.served(Some(EXPORT_ADDRESS)),
            until: Until {
                duration: export.duration,
                count: None,
            },
        }
    }
}

impl From<Means> for observation::Means {
    fn from(means: Means) -> Self {
        Self {
            hooks: means.hooks,
            sockets: !means.skip_socket,
            io_uring: !means.skip_io_uring,
        }
    }
}

impl From<Filters> for observation::Filters {
    fn from(filters: Filters) -> Self {
        Self {
            pid: filters.pid,
            uid: filters.uid,
            family: filters.family,
            failed: filters.failed,
        }
    }
}

impl From<Capacity> for observation::Capacity {
    fn from(capacity: Capacity) -> Self {
        Self {
            ring_bytes: capacity.ring_kib << 10,
            threads: capacity.threads,
            attempts: capacity.attempts,
        }
    }
}

impl Serving {
    /// What is served: nothing, unless an address was typed or there is one by default.
    fn served(self, address: Option<&str>) -> Option<observation::Serving> {
        let listen = self.listen.or_else(|| address.map(str::to_owned))?;
        Some(observation::Serving {
            listen,
            labels: self.labels,
            max_series: self.max_series,
            series_ttl: self.series_ttl,
        })
    }
}

/// Says how the variants of a type of [`observation`] are typed, and what `--help` says of each.
macro_rules! typed {
    ($type:ident { $($variant:ident = $name:literal, $help:literal;)* }) => {
        impl ValueEnum for $type {
            fn value_variants<'a>() -> &'a [Self] {
                &[$(Self::$variant),*]
            }

            fn to_possible_value(&self) -> Option<PossibleValue> {
                Some(match self {
                    $(Self::$variant => PossibleValue::new($name).help($help),)*
                })
            }
        }
    };
}

typed!(Label {
    Process = "process", "Name of the task that connects";
    Cgroup = "cgroup", "Its cgroup v2 id";
    PeerPort = "peer-port", "Port of the address passed";
    PeerAddress = "peer-address", "The address passed, without its port; of a unix socket, its path";
});

typed!(Format {
    Table = "table", "Aligned columns for a person";
    Json = "json", "One JSON object per line";
});

typed!(Color {
    Auto = "auto", "On a terminal, unless NO_COLOR is set or TERM is dumb";
    Always = "always", "Always";
    Never = "never", "Never";
});

typed!(Hooks {
    Auto = "auto", "The system call tracepoints, and the kernel's functions for what those do not show";
    Tracepoint = "tracepoint", "The system call tracepoints: no 32-bit calls, and the address as the caller's memory has it";
    Function = "function", "The kernel's functions (fentry, fexit): other system calls stay as fast as they are";
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
