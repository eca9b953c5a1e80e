//! Loads the kernel object, fixes its settings, puts its hooks in place.

pub mod btf;
mod tracepoint_format;

use std::{
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail};
use aya::{
    Ebpf, EbpfLoader,
    maps::{HashMap, MapData, PerCpuArray, RingBuf},
    programs::{
        Program, ProgramError, ProgramType, RawTracePoint, TracePoint,
        raw_trace_point::RawTracePointLink, trace_point::TracePointLink,
    },
    sys::{BpfHelper, is_helper_supported, is_program_supported},
};
use aya_log::EbpfLogger;
use connect_ebpf::{
    attempt::{ATTEMPTS_MAP, IDENTITIES_ENTRIES, IDENTITIES_MAP},
    counter::{
        COUNTING_GLOBAL, DURATIONS, DURATIONS_MAP, FAILURES, FAILURES_MAP, SERIES_MAP,
        SERIES_OVERFLOW_MAP, TALLIES, TALLIES_MAP,
    },
    loss::LOSSES_MAP,
    record::RECORDS_MAP,
    settings::{
        ANY, INFLIGHT_MAP, LINEAGE_ENTRIES, LINEAGE_MAP, OUTCOMES_OFF, OUTCOMES_WITH_ERRNO,
        OUTCOMES_WITHOUT_ERRNO, Offsets, SETTINGS_GLOBAL, Settings,
    },
};
use log::Log;

use crate::{
    cli::{Capacity, Filters},
    collect::Collector,
    metrics::{self, counters::Counters, health::Hook as HookHealth, series::SeriesMaps},
    preflight::Tracefs,
};

/// The kernel object, as connect-user/build.rs made it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/connect-ebpf"));

/// A hook: program and tracepoint have one name.
struct Hook {
    category: &'static str,
    name: &'static str,
}

/// Every hook, in the order in which they are attached: what forgets comes before what remembers,
/// and an entry before its return, so that no call is seen by half that could be seen whole.
const HOOKS: [Hook; 4] = [
    Hook {
        category: "sched",
        name: "sched_process_exit",
    },
    Hook {
        category: "sched",
        name: "sched_process_exec",
    },
    Hook {
        category: "syscalls",
        name: "sys_enter_connect",
    },
    Hook {
        category: "syscalls",
        name: SYS_EXIT_CONNECT,
    },
];

/// The hook that makes the records.
const SYS_EXIT_CONNECT: &str = "sys_exit_connect";

/// Attached only where a command is observed: it taxes every fork.
const LINEAGE_HOOK: Hook = Hook {
    category: "sched",
    name: "sched_process_fork",
};

/// Attached where the kernel has both: without them, what becomes of an interrupted call is unknown.
const INTERRUPTION_HOOKS: [Hook; 2] = [
    Hook {
        category: "syscalls",
        name: "sys_enter_rt_sigreturn",
    },
    SIGNAL_DELIVER,
];

/// Tells what a signal does to a call that it interrupted.
const SIGNAL_DELIVER: Hook = Hook {
    category: "signal",
    name: "signal_deliver",
};

/// Follows attempts to their end; a raw tracepoint, as it must also run while another program runs.
const INET_SOCK_SET_STATE: &str = "inet_sock_set_state";

/// The same without the socket's errno, where the kernel's BTF does not say where it is.
const INET_SOCK_SET_STATE_WITHOUT_ERRNO: Hook = Hook {
    category: "sock",
    name: INET_SOCK_SET_STATE,
};
/// Its program.
const WITHOUT_ERRNO: &str = "inet_sock_set_state_without_errno";

/// How far attempts are followed on this kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcomes {
    /// To their end, with errno.
    WithErrno(Box<Offsets>),
    /// To their end; why not further.
    WithoutErrno(String),
    /// Not at all; why not.
    Off(String),
}

/// How far attempts can be followed here.
#[must_use]
pub fn outcomes(tracefs: &Tracefs) -> Outcomes {
    let refused = match is_program_supported(ProgramType::RawTracePoint) {
        Ok(true) => match btf::offsets() {
            Ok(offsets) => return Outcomes::WithErrno(Box::new(offsets)),
            Err(error) => format!("{error:#}"),
        },
        Ok(false) | Err(_) => "the kernel refuses raw tracepoint programs".to_owned(),
    };
    let Hook { category, name } = INET_SOCK_SET_STATE_WITHOUT_ERRNO;
    match tracefs.event(category, name).join("id").try_exists() {
        Ok(true) => Outcomes::WithoutErrno(refused),
        Ok(false) => Outcomes::Off(format!("{refused}; no tracepoint {category}:{name}")),
        Err(error) => Outcomes::Off(format!("{refused}; tracefs cannot be read: {error}")),
    }
}

/// Whether this kernel lets interrupted calls be followed to their end; `None` where tracefs may not
/// be read.
#[must_use]
pub fn follows_interruptions(tracefs: &Tracefs) -> Option<bool> {
    INTERRUPTION_HOOKS
        .iter()
        .map(|hook| {
            tracefs
                .event(hook.category, hook.name)
                .join("id")
                .try_exists()
        })
        .try_fold(true, |all, exists| Some(all && exists.ok()?))
}

/// Whom to observe, besides what the filters say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every task of the host.
    Host,
    /// Only tasks that [`Attached::follow`] names, and their descendants.
    Lineage,
}

/// Drops to detach.
enum Link {
    Plain(#[expect(dead_code, reason = "held to be dropped")] TracePointLink),
    Raw(#[expect(dead_code, reason = "held to be dropped")] RawTracePointLink),
}

/// The loaded kernel object. Dropping it detaches the hooks.
pub struct Attached {
    /// Keeps the programs; links and the maps that are read have been taken out of it.
    object: Ebpf,
    links: Vec<Link>,
    lineage: HashMap<MapData, u32, u32>,
    /// A descriptor of the ring buffer, and its size in bytes.
    ring: Option<(OwnedFd, u32)>,
    logger: EbpfLogger<&'static dyn Log>,
}

impl Attached {
    /// Observes the task `tid`, and every task that it starts from now on.
    ///
    /// # Errors
    ///
    /// The table of tasks is full.
    pub fn follow(&mut self, tid: u32) -> Result<()> {
        self.lineage
            .insert(&tid, &1, 0)
            .context("cannot follow the command")
    }

    /// Observes the task `tid` no more; what it started stays observed.
    ///
    /// # Errors
    ///
    /// The task was not followed.
    pub fn unfollow(&mut self, tid: u32) -> Result<()> {
        self.lineage
            .remove(&tid)
            .context("cannot unfollow the command's parent")
    }

    /// How many tasks are observed because of their ancestry.
    #[must_use]
    pub fn followed(&self) -> usize {
        self.lineage.keys().flatten().count()
    }

    /// The kernel's counters; they can be taken once.
    ///
    /// # Errors
    ///
    /// They have been taken already.
    pub fn counters(&mut self) -> Result<Counters> {
        Ok(Counters::new(
            PerCpuArray::try_from(take(&mut self.object, TALLIES_MAP)?)?,
            aya::maps::PerCpuHashMap::try_from(take(&mut self.object, FAILURES_MAP)?)?,
            PerCpuArray::try_from(take(&mut self.object, DURATIONS_MAP)?)?,
        ))
    }

    /// The kernel's counts by label; they can be taken once.
    ///
    /// # Errors
    ///
    /// They have been taken already.
    pub fn series(&mut self) -> Result<SeriesMaps> {
        Ok(SeriesMaps {
            series: aya::maps::PerCpuHashMap::try_from(take(&mut self.object, SERIES_MAP)?)?,
            overflow: PerCpuArray::try_from(take(&mut self.object, SERIES_OVERFLOW_MAP)?)?,
        })
    }

    /// The ring buffer and its size in bytes; it can be taken once.
    ///
    /// # Errors
    ///
    /// It has been taken already.
    pub fn ring(&mut self) -> Result<(OwnedFd, u32)> {
        self.ring.take().context("the ring buffer has been taken")
    }

    /// Every hook that this program has, with the descriptor of its program where it is attached.
    ///
    /// # Errors
    ///
    /// There are no descriptors left.
    pub fn hooks(&mut self) -> Result<Vec<HookHealth>> {
        let plain = HOOKS
            .iter()
            .chain(&INTERRUPTION_HOOKS)
            .chain([&LINEAGE_HOOK])
            .map(|hook| hook.name);
        plain
            .chain([INET_SOCK_SET_STATE, WITHOUT_ERRNO])
            .map(|name| {
                let program = program(&mut self.object, name)?;
                Ok(HookHealth {
                    name,
                    // Only what is attached has been loaded.
                    program: match program.fd() {
                        Ok(program) => Some(program.as_fd().try_clone_to_owned()?),
                        Err(_) => None,
                    },
                })
            })
            .collect()
    }

    /// Passes on what the kernel object had to say.
    pub fn log(&mut self) {
        self.logger.flush();
    }
}

impl Drop for Attached {
    /// The kernel waits for every CPU at every hook that goes; all at once, it waits only once.
    fn drop(&mut self) {
        thread::scope(|scope| {
            for link in self.links.drain(..) {
                let detach = thread::Builder::new().spawn_scoped(scope, move || drop(link));
                if let Err(error) = detach {
                    // The closure is dropped, and the link with it, only not at once with the rest.
                    log::debug!("no thread to detach a hook: {error}");
                }
            }
        });
    }
}

/// What to observe, and how.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// Whom and what.
    pub filters: &'a Filters,
    /// Room in the kernel.
    pub capacity: Capacity,
    /// Whom, besides what the filters say.
    pub scope: Scope,
    /// How far attempts are followed.
    pub outcomes: &'a Outcomes,
    /// Whether to look at the socket behind the descriptor.
    pub sockets: bool,
    /// Whether a call that leaves its attempt unsettled is told of only by its outcome.
    pub settled_only: bool,
    /// What is counted.
    pub metrics: metrics::Plan,
}

/// Loads and attaches. Returns when every hook is live.
///
/// # Errors
///
/// The kernel refuses a program, a map or a hook. [`crate::preflight`] has ruled out what can be
/// told beforehand.
pub fn attach(tracefs: &Tracefs, plan: Plan<'_>) -> Result<(Attached, Collector)> {
    let Plan {
        capacity,
        scope,
        metrics,
        ..
    } = plan;
    let settings = settings(tracefs, plan)?;
    let attempts = match settings.outcomes {
        OUTCOMES_OFF => 1,
        _ => capacity.attempts,
    };
    let mut object = EbpfLoader::new()
        .override_global(SETTINGS_GLOBAL, &settings, true)
        .map_max_entries(RECORDS_MAP, metrics.ring_bytes(capacity.ring_kib))
        .map_max_entries(INFLIGHT_MAP, capacity.threads)
        .map_max_entries(ATTEMPTS_MAP, attempts)
        .map_max_entries(
            IDENTITIES_MAP,
            if settings.outcomes != OUTCOMES_OFF && settings.sockets != 0 {
                IDENTITIES_ENTRIES
            } else {
                1
            },
        )
        .map_max_entries(
            LINEAGE_MAP,
            match scope {
                Scope::Host => 1,
                Scope::Lineage => LINEAGE_ENTRIES,
            },
        )
        .override_global(COUNTING_GLOBAL, &metrics.counting, true)
        .map_max_entries(TALLIES_MAP, metrics.room(TALLIES))
        .map_max_entries(FAILURES_MAP, metrics.room(FAILURES as usize))
        .map_max_entries(DURATIONS_MAP, metrics.room(DURATIONS))
        .map_max_entries(SERIES_MAP, metrics.max_series)
        .load(OBJECT)
        .context("the kernel refuses the maps of connect-observer")?;
    // The logger takes its map before programs are loaded, or they would not find it.
    let logger = EbpfLogger::init(&mut object).context("cannot read the kernel object's log")?;

    let mut links = Vec::new();
    if settings.interruptions != 0 {
        for hook in &INTERRUPTION_HOOKS {
            links.push(Link::Plain(put_in_place(&mut object, hook, hook.name)?));
        }
    }
    // Before the calls whose attempts it follows.
    match settings.outcomes {
        OUTCOMES_WITH_ERRNO => links.push(Link::Raw(put_raw_in_place(
            &mut object,
            INET_SOCK_SET_STATE,
        )?)),
        OUTCOMES_WITHOUT_ERRNO => links.push(Link::Plain(put_in_place(
            &mut object,
            &INET_SOCK_SET_STATE_WITHOUT_ERRNO,
            WITHOUT_ERRNO,
        )?)),
        _ => {}
    }
    for hook in HOOKS
        .iter()
        .chain((scope == Scope::Lineage).then_some(&LINEAGE_HOOK))
    {
        links.push(Link::Plain(put_in_place(&mut object, hook, hook.name)?));
    }

    let records = take(&mut object, RECORDS_MAP)?;
    let ring = match &records {
        aya::maps::Map::RingBuf(ring) => ring.fd().as_fd().try_clone_to_owned()?,
        _ => bail!("the map {RECORDS_MAP} is no ring buffer"),
    };
    let records = RingBuf::try_from(records)?;
    let losses = PerCpuArray::try_from(take(&mut object, LOSSES_MAP)?)?;
    let lineage = HashMap::try_from(take(&mut object, LINEAGE_MAP)?)?;
    let attempts = HashMap::try_from(take(&mut object, ATTEMPTS_MAP)?)?;
    let exit_program = tracepoint_program(&mut object, SYS_EXIT_CONNECT)?
        .fd()?
        .as_fd()
        .as_raw_fd();
    let collector = Collector::new(records, losses, attempts, exit_program)?;
    let attached = Attached {
        object,
        links,
        lineage,
        ring: Some((ring, metrics.ring_bytes(capacity.ring_kib))),
        logger,
    };
    Ok((attached, collector))
}

fn settings(tracefs: &Tracefs, plan: Plan<'_>) -> Result<Settings> {
    let Plan {
        filters,
        capacity,
        scope,
        ..
    } = plan;
    let lineage = scope == Scope::Lineage;
    let interruptions = follows_interruptions(tracefs) == Some(true);
    let deliver = |field| {
        if interruptions {
            tracepoint_format::offset(tracefs, &SIGNAL_DELIVER, field)
        } else {
            Ok(0)
        }
    };
    let (outcomes, offsets) = match plan.outcomes {
        Outcomes::WithErrno(offsets) => (OUTCOMES_WITH_ERRNO, **offsets),
        Outcomes::WithoutErrno(_) => (OUTCOMES_WITHOUT_ERRNO, Offsets::NONE),
        Outcomes::Off(_) => (OUTCOMES_OFF, Offsets::NONE),
    };
    let sockets = plan.sockets && outcomes == OUTCOMES_WITH_ERRNO;
    Ok(Settings {
        pid: filters.pid.unwrap_or(ANY),
        uid: filters.uid.unwrap_or(ANY),
        family: filters.family.map_or(ANY, u32::from),
        failed: u32::from(filters.failed),
        lineage: u32::from(lineage),
        task_registers: u32::from(task_registers()),
        wakeup_bytes: plan.metrics.ring_bytes(capacity.ring_kib) / 8,
        fork_child_pid: if lineage {
            tracepoint_format::offset(tracefs, &LINEAGE_HOOK, "child_pid")?
        } else {
            0
        },
        exec_old_pid: tracepoint_format::offset(
            tracefs,
            &Hook {
                category: "sched",
                name: "sched_process_exec",
            },
            "old_pid",
        )?,
        interruptions: u32::from(interruptions),
        deliver_sa_handler: deliver("sa_handler")?,
        deliver_sa_flags: deliver("sa_flags")?,
        outcomes,
        sockets: u32::from(sockets),
        settled_only: u32::from(plan.settled_only),
        offsets,
    })
}

/// Whether a tracepoint program may read the registers that a task saved (kernel 5.15).
fn task_registers() -> bool {
    [
        BpfHelper::BPF_FUNC_get_current_task_btf,
        BpfHelper::BPF_FUNC_task_pt_regs,
    ]
    .into_iter()
    .all(|helper| is_helper_supported(ProgramType::TracePoint, helper).unwrap_or(false))
}

fn put_in_place(object: &mut Ebpf, hook: &Hook, program: &str) -> Result<TracePointLink> {
    let Hook { category, name } = hook;
    let loaded = tracepoint_program(object, program)?;
    loaded.load().map_err(|error| refused(error, program))?;
    let link = loaded
        .attach(category, name)
        .with_context(|| format!("cannot attach to tracepoint {category}:{name}"))?;
    Ok(loaded.take_link(link)?)
}

fn put_raw_in_place(object: &mut Ebpf, name: &str) -> Result<RawTracePointLink> {
    let loaded: &mut RawTracePoint = program(object, name)?.try_into()?;
    loaded.load().map_err(|error| refused(error, name))?;
    let link = loaded
        .attach(name)
        .with_context(|| format!("cannot attach to raw tracepoint {name}"))?;
    Ok(loaded.take_link(link)?)
}

fn refused(error: ProgramError, program: &str) -> anyhow::Error {
    if let ProgramError::LoadError { verifier_log, .. } = &error {
        log::debug!("{verifier_log}");
    }
    anyhow!(error).context(format!("the kernel refuses the program {program}"))
}

fn tracepoint_program<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut TracePoint> {
    Ok(program(object, name)?.try_into()?)
}

fn program<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Program> {
    object
        .program_mut(name)
        .with_context(|| format!("the kernel object has no program {name}"))
}

fn take(object: &mut Ebpf, map: &str) -> Result<aya::maps::Map> {
    object
        .take_map(map)
        .with_context(|| format!("the kernel object has no map {map}"))
}
