//! One observation: whom to observe, what, by which means, where to, and for how long.
//!
//! What was typed becomes one of these in `cli/`; nothing else knows the command line.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use connect_ebpf::{attempt::ATTEMPTS_ENTRIES, settings};

/// What `trace`, `run` and `export` do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Whom to observe.
    pub whom: Whom,
    /// Which of their connects.
    pub filters: Filters,
    /// By which means.
    pub means: Means,
    /// Room in the kernel.
    pub capacity: Capacity,
    /// How events are written; without, the kernel object makes no records at all.
    pub events: Option<Events>,
    /// How metrics are served, if they are.
    pub serving: Option<Serving>,
    /// When it ends by itself.
    pub until: Until,
}

impl Observation {
    /// Of these, by all means, without any output.
    #[must_use]
    pub const fn of(whom: Whom) -> Self {
        Self {
            whom,
            filters: Filters::ALL,
            means: Means::ALL,
            capacity: Capacity::DEFAULT,
            events: None,
            serving: None,
            until: Until::STOPPED,
        }
    }

    /// Whether an attempt is shown only when it is settled, and so once: its outcome stands for its call, and calls
    /// that ask for it again are not shown. So it is with failures, too: the attempt fails, and not each call.
    #[must_use]
    pub fn settled_only(&self) -> bool {
        let asked = self.events.as_ref().is_some_and(Events::settled_only);
        asked || self.filters.failed
    }
}

/// Whom to observe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    /// Every task of the host.
    Host,
    /// A command, which is started for it, and its descendants.
    Command(Order),
}

/// A command to start and observe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The command and its arguments.
    pub words: Vec<OsString>,
    /// The user who runs it, by name or number; `None` is the agent's own.
    pub user: Option<String>,
    /// Whether what it leaves behind is observed to its end.
    pub follow: bool,
}

/// What is shown and counted; decided in the kernel, so what is filtered out costs least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filters {
    /// Only this process (tgid, initial pid namespace).
    pub pid: Option<u32>,
    /// Only processes of this real user id.
    pub uid: Option<u32>,
    /// Only addresses of this family (`AF_*`).
    pub family: Option<u16>,
    /// Only what failed: calls that returned an errno and are over with it, and attempts that failed or were given
    /// up.
    pub failed: bool,
}

impl Filters {
    /// Everything passes.
    pub const ALL: Self = Self {
        pid: None,
        uid: None,
        family: None,
        failed: false,
    };
}

/// How the kernel is observed, and what that may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Means {
    /// Which hooks see native calls.
    pub hooks: Hooks,
    /// Whether to look at the socket behind the descriptor of every call.
    pub sockets: bool,
    /// Whether to observe connects by io_uring.
    pub io_uring: bool,
    /// Whether to look for 32-bit calls among all system calls of the host, where the kernel's functions do not show
    /// them.
    pub compat: bool,
}

impl Means {
    /// All that need not be asked for: not what every system call of the host pays for.
    pub const ALL: Self = Self {
        hooks: Hooks::Auto,
        sockets: true,
        io_uring: true,
        compat: false,
    };
}

/// Which hooks see native calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooks {
    /// The system call tracepoints, and the kernel's functions for what those do not show.
    Auto,
    /// The system call tracepoints.
    Tracepoint,
    /// The kernel's functions.
    Function,
}

/// How much the kernel object keeps before it must drop, and count, what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Size of the ring buffer in bytes: a power of two, and whole pages.
    pub ring_bytes: u32,
    /// How many threads can be kept track of at once.
    pub threads: u32,
    /// How many attempts in progress can be followed at once.
    pub attempts: u32,
}

impl Capacity {
    /// Enough for most hosts.
    pub const DEFAULT: Self = Self {
        ring_bytes: settings::RING_BYTES,
        threads: settings::INFLIGHT_ENTRIES,
        attempts: ATTEMPTS_ENTRIES,
    };
}

/// How events are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Events {
    /// In which form.
    pub format: Format,
    /// Where to.
    pub to: Destination,
    /// What happens where they cannot be written.
    pub on_failure: OnFailure,
    /// Colour in the table.
    pub color: Color,
    /// Instead of events, who connected where how often, with what result, at the end.
    pub summary: bool,
    /// What the first failure of its kind in each process usually means, under it.
    pub explain: bool,
    /// Each attempt once, when it is settled.
    pub settled: bool,
}

impl Events {
    /// Whether that is asked for by the form of the output.
    const fn settled_only(&self) -> bool {
        self.settled || self.summary
    }
}

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, to whose end they are appended.
    File(PathBuf),
}

/// What happens where events cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFailure {
    /// The observation ends.
    End,
    /// They are counted as lost, and the next one is another try.
    Lose,
}

/// In which form events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for a person.
    Table,
    /// One JSON object per line.
    Json,
}

/// Whether the table has colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is dumb.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How metrics are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// On which address: `HOST:PORT`, or `:PORT` for every address of this host.
    pub listen: String,
    /// By what connects are counted besides.
    pub labels: Vec<Label>,
    /// How many combinations of labels have a series of their own.
    pub max_series: u32,
    /// How long a combination of labels stays that is not counted any more.
    pub series_ttl: Duration,
}

/// By what connects can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Name of the task that connects.
    Process,
    /// Its cgroup v2 id.
    Cgroup,
    /// Port of the address passed.
    PeerPort,
    /// The address passed, without its port; of a unix socket, its path.
    PeerAddress,
}

/// When an observation ends by itself, besides when it is asked to or its command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// After this time.
    pub duration: Option<Duration>,
    /// After this many connects.
    pub count: Option<u64>,
}

impl Until {
    /// Never.
    pub const STOPPED: Self = Self {
        duration: None,
        count: None,
    };
}
