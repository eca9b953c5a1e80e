//! Loads the kernel object, fixes its settings, puts its hooks in place.

pub mod btf;
mod hook;
pub mod program_info;
mod survey;
mod tracepoint_format;

use std::{
    mem,
    os::fd::{AsFd as _, OwnedFd},
    thread,
};

use anyhow::{Context as _, Result, bail};
use aya::{
    Btf, Ebpf, EbpfLoader,
    maps::{HashMap, MapData, PerCpuArray, RingBuf},
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};
use aya_log::EbpfLogger;
use connect_ebpf::{
    attempt::{ATTEMPTS_MAP, HANDOVERS_MAP, IDENTITIES_ENTRIES, IDENTITIES_MAP},
    counter::{
        COUNTING_GLOBAL, DURATIONS, DURATIONS_MAP, FAILURES, FAILURES_MAP, SERIES_MAP,
        SERIES_OVERFLOW_MAP, TALLIES, TALLIES_MAP,
    },
    loss::{LOSSES_MAP, RETURNS_MAP},
    record::RECORDS_MAP,
    settings::{
        ANY, INFLIGHT_MAP, IoUringLayout, LINEAGE_ENTRIES, LINEAGE_MAP, NATIVE_BY_BOTH,
        NATIVE_BY_FUNCTION, NATIVE_BY_TRACEPOINT, OUTCOMES_OFF, OUTCOMES_WITH_ERRNO,
        OUTCOMES_WITHOUT_ERRNO, Offsets, REGISTERS_BY_HELPER, REGISTERS_BY_STACK, REGISTERS_OFF,
        REQUESTS_BY_SOCKET_MAP, REQUESTS_ENTRIES, REQUESTS_MAP, SETTINGS_GLOBAL, SUSPENDED_MAP,
        Settings, suspended_entries,
    },
};
use log::Log;

use self::hook::{At, Hook, Link, program};
pub use self::survey::{IoUring, Outcomes, Survey};
use crate::{
    cli::{Capacity, Filters, Hooks, Means},
    collect::{Collector, Watched},
    metrics::{self, counters::Counters, health::Hook as HookHealth, series::SeriesMaps},
    preflight::{Tracefs, preempts_programs},
};

/// The kernel object, as connect-user/build.rs made it.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/connect-ebpf"));

/// What forgets is attached before what remembers, and an entry before its return, so that no call is
/// seen by half that could be seen whole.
const LIFETIME_HOOKS: [Hook; 2] = [
    Hook::raw("sched_process_exit"),
    Hook::raw("sched_process_exec"),
];

/// The native system call, by tracepoints.
const SYSCALL_HOOKS: [Hook; 2] = [
    Hook::plain("syscalls", "sys_enter_connect"),
    SYS_EXIT_CONNECT,
];

/// Makes the records of native calls.
const SYS_EXIT_CONNECT: Hook = Hook::plain("syscalls", "sys_exit_connect");

/// What native and 32-bit calls have in common, behind what their calls need: the kernel's copy of the
/// address, and the end of a signal handler.
const FUNCTION_HOOKS: [Hook; 4] = [
    Hook {
        program: "sys_connect_file",
        at: At::Entry("__sys_connect_file"),
    },
    RT_SIGRETURN_BY_FUNCTION,
    Hook {
        program: "sys_connect_entry",
        at: At::Entry("__sys_connect"),
    },
    SYS_CONNECT_EXIT,
];

/// Makes the records of 32-bit calls, and where there are no tracepoints, of native ones.
const SYS_CONNECT_EXIT: Hook = Hook {
    program: "sys_connect_exit",
    at: At::Exit("__sys_connect"),
};

/// Attached only where a command is observed: it taxes every fork.
const LINEAGE_HOOK: Hook = Hook::plain("sched", "sched_process_fork");

/// Tells what a signal does to a call that it interrupted. Attached, like the next two, where the kernel has
/// both tracepoints: without them, what becomes of an interrupted call is unknown.
const SIGNAL_DELIVER: Hook = Hook::raw("signal_deliver");

/// The same, where the kernel's BTF does not say where an action has its fields.
const SIGNAL_DELIVER_PLAIN: Hook = Hook {
    program: "signal_deliver_plain",
    at: At::Plain("signal", "signal_deliver"),
};

/// Tells that a signal handler returns.
const RT_SIGRETURN: Hook = Hook::plain("syscalls", "sys_enter_rt_sigreturn");

/// The same by the kernel's function: where there are no tracepoints of system calls, which it does not
/// tax; or where the kernel skips them.
const RT_SIGRETURN_BY_FUNCTION: Hook = Hook {
    program: "sys_rt_sigreturn",
    at: At::Entry(btf::RT_SIGRETURN),
};

/// Follow attempts to their end; a raw tracepoint, as it must also run while another program runs.
const INET_SOCK_SET_STATE: [Hook; 2] = [
    Hook {
        program: "inet_sock_set_state_settle",
        at: At::Raw("inet_sock_set_state"),
    },
    Hook {
        program: "inet_sock_set_state_begin",
        at: At::Raw("inet_sock_set_state"),
    },
];

/// The same without the socket's errno, where the kernel's BTF does not say where it is.
const INET_SOCK_SET_STATE_WITHOUT_ERRNO: Hook = Hook {
    program: "inet_sock_set_state_without_errno",
    at: At::Plain("sock", "inet_sock_set_state"),
};

/// Connects of io_uring. Completions come first: what was submitted before is not known.
const IO_URING_HOOKS: [Hook; 2] = [
    Hook::raw("io_uring_complete"),
    Hook::raw("io_uring_req_failed"),
];

/// The same, as tracefs describes them.
const IO_URING_PLAIN_HOOKS: [Hook; 2] = [
    Hook {
        program: "io_uring_complete_plain",
        at: At::Plain("io_uring", "io_uring_complete"),
    },
    Hook {
        program: "io_uring_submit_plain",
        at: At::Plain("io_uring", "io_uring_submit_sqe"),
    },
];

/// Which descriptor a request has, where the kernel does not keep it.
const IO_URING_FILE_GET_HOOK: Hook = Hook::plain("io_uring", "io_uring_file_get");

/// The same for a request that is refused before it is submitted, where there is such a tracepoint.
const IO_URING_FAILED_PLAIN_HOOK: Hook = Hook {
    program: "io_uring_req_failed_plain",
    at: At::Plain("io_uring", "io_uring_req_failed"),
};

/// Its tracepoint has another name before 6.4.
const fn io_uring_submit(tracepoint: &'static str) -> Hook {
    Hook {
        program: "io_uring_submit",
        at: At::Raw(tracepoint),
    }
}

/// What has become of the hooks on the kernel's functions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Functions {
    /// They are in place.
    Attached,
    /// They were not asked for.
    Unwanted,
    /// They cannot be had, and why.
    Refused(String),
}

/// Whom to observe, besides what the filters say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every task of the host.
    Host,
    /// Only tasks that [`Attached::follow`] names, and their descendants.
    Lineage,
}

/// The loaded kernel object. Dropping it detaches the hooks.
pub struct Attached {
    /// Keeps the programs; links and the maps that are read have been taken out of it.
    object: Ebpf,
    links: Vec<Link>,
    /// From which of them on they tell of calls, and not of what becomes of these.
    first_of_calls: usize,
    /// What is in place.
    hooks: Vec<Hook>,
    functions: Functions,
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

    /// What has become of the hooks on the kernel's functions.
    #[must_use]
    pub const fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Every hook that this program has, with the descriptors of its programs where it is attached. Of
    /// several ways to hook into one place, the one that is attached.
    ///
    /// # Errors
    ///
    /// There are no descriptors left.
    pub fn hooks(&mut self) -> Result<Vec<HookHealth>> {
        let mut health: Vec<HookHealth> = Vec::new();
        let submit = [
            io_uring_submit("io_uring_submit_req"),
            io_uring_submit("io_uring_submit_sqe"),
        ];
        let all = SYSCALL_HOOKS
            .iter()
            .chain(&FUNCTION_HOOKS)
            .chain(&submit)
            .chain(&IO_URING_HOOKS)
            .chain(&IO_URING_PLAIN_HOOKS)
            .chain([&IO_URING_FILE_GET_HOOK, &IO_URING_FAILED_PLAIN_HOOK])
            .chain(&INET_SOCK_SET_STATE)
            .chain([&INET_SOCK_SET_STATE_WITHOUT_ERRNO])
            .chain([&SIGNAL_DELIVER, &SIGNAL_DELIVER_PLAIN])
            .chain([&RT_SIGRETURN])
            .chain(&LIFETIME_HOOKS)
            .chain([&LINEAGE_HOOK]);
        for hook in all {
            let mut programs = Vec::new();
            if self.hooks.contains(hook) {
                let program = program(&mut self.object, hook.program)?;
                programs.push(program.fd()?.as_fd().try_clone_to_owned()?);
            }
            let name = hook.at.to_string();
            match health.iter_mut().find(|other| other.name == name) {
                Some(other) => other.programs.append(&mut programs),
                None => health.push(HookHealth { name, programs }),
            }
        }
        Ok(health)
    }

    /// Passes on what the kernel object had to say.
    pub fn log(&mut self) {
        self.logger.flush();
    }
}

impl Drop for Attached {
    /// In reverse order: what follows calls may go only when none begins any more. The kernel waits for
    /// every CPU at every hook that goes; of several at once, it waits only once.
    fn drop(&mut self) {
        let of_calls = self.links.split_off(self.first_of_calls);
        for links in [of_calls, mem::take(&mut self.links)] {
            thread::scope(|scope| {
                for link in links {
                    let detach = thread::Builder::new().spawn_scoped(scope, move || drop(link));
                    if let Err(error) = detach {
                        // The closure is dropped, and the link with it, only not at once with the rest.
                        log::debug!("no thread to detach a hook: {error}");
                    }
                }
            });
        }
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
    /// What this kernel lets us see.
    pub survey: &'a Survey,
    /// By which means.
    pub means: &'a Means,
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
        survey,
        means,
        ..
    } = plan;
    let settings = settings(tracefs, plan)?;
    let mut object = load(plan, &settings)?;
    // The logger takes its map before programs are loaded, or they would not find it.
    let logger = EbpfLogger::init(&mut object).context("cannot read the kernel object's log")?;

    let btf = match means.hooks {
        Hooks::Tracepoint => None,
        Hooks::Auto | Hooks::Function => Some(survey.functions.to_btf()?),
    };
    let mut placed = Placed::default();
    if settings.interruptions != 0 {
        let deliver = if survey.offsets().is_some() {
            SIGNAL_DELIVER
        } else {
            SIGNAL_DELIVER_PLAIN
        };
        placed.put(&mut object, None, &[deliver])?;
        if means.hooks != Hooks::Function {
            placed.put(&mut object, None, &[RT_SIGRETURN])?;
        }
    }
    // Before the calls whose attempts it follows.
    match settings.outcomes {
        OUTCOMES_WITH_ERRNO => placed.put(&mut object, None, &INET_SOCK_SET_STATE)?,
        OUTCOMES_WITHOUT_ERRNO => {
            placed.put(&mut object, None, &[INET_SOCK_SET_STATE_WITHOUT_ERRNO])?;
        }
        _ => {}
    }
    placed.put(&mut object, None, &LIFETIME_HOOKS)?;
    if scope == Scope::Lineage {
        placed.put(&mut object, None, &[LINEAGE_HOOK])?;
    }
    let first_of_calls = placed.links.len();
    if settings.io_uring != 0 {
        placed.put_io_uring(&mut object, &survey.io_uring)?;
    }
    let functions = if means.hooks == Hooks::Tracepoint {
        Functions::Unwanted
    } else {
        put_functions(&mut placed, &mut object, btf.as_ref(), survey)
    };
    if means.hooks == Hooks::Function {
        if let Functions::Refused(why) = functions {
            bail!("--hooks function cannot be had here: {why}; use --hooks auto");
        }
    } else {
        placed.put(&mut object, None, &SYSCALL_HOOKS)?;
    }

    let records = take(&mut object, RECORDS_MAP)?;
    let ring = match &records {
        aya::maps::Map::RingBuf(ring) => ring.fd().as_fd().try_clone_to_owned()?,
        _ => bail!("the map {RECORDS_MAP} is no ring buffer"),
    };
    let records = RingBuf::try_from(records)?;
    let losses = PerCpuArray::try_from(take(&mut object, LOSSES_MAP)?)?;
    let returns = PerCpuArray::try_from(take(&mut object, RETURNS_MAP)?)?;
    let lineage = HashMap::try_from(take(&mut object, LINEAGE_MAP)?)?;
    let attempts = HashMap::try_from(take(&mut object, ATTEMPTS_MAP)?)?;
    let handovers = HashMap::try_from(take(&mut object, HANDOVERS_MAP)?)?;
    let watched = watched(&mut object, &placed.hooks, means)?;
    let collector = Collector::new(records, losses, returns, attempts, handovers, watched)?;
    let attached = Attached {
        object,
        links: placed.links,
        first_of_calls,
        hooks: placed.hooks,
        functions,
        lineage,
        ring: Some((ring, metrics.ring_bytes(capacity.ring_kib))),
        logger,
    };
    Ok((attached, collector))
}

/// The programs without which there is no record.
fn watched(object: &mut Ebpf, hooks: &[Hook], means: &Means) -> Result<Watched> {
    let mut watched = Watched::default();
    for hook in hooks {
        let to = match hook.at {
            _ if *hook == SYS_EXIT_CONNECT => &mut watched.returns,
            // Elsewhere, it has nothing to do for most calls.
            At::Exit(_) if means.hooks == Hooks::Function => &mut watched.returns,
            At::Plain("io_uring", _) => &mut watched.others,
            At::Raw(name) if name.starts_with("io_uring") => &mut watched.others,
            _ => continue,
        };
        let program = program(object, hook.program)?;
        // Also of use when the hooks are gone.
        to.push(program.fd()?.as_fd().try_clone_to_owned()?);
    }
    Ok(watched)
}

/// Loads the object: its settings and maps, no program yet.
fn load(plan: Plan<'_>, settings: &Settings) -> Result<Ebpf> {
    let Plan {
        capacity,
        scope,
        metrics,
        ..
    } = plan;
    let or_one = |wanted, entries| if wanted { entries } else { 1 };
    EbpfLoader::new()
        .override_global(SETTINGS_GLOBAL, settings, true)
        .map_max_entries(RECORDS_MAP, metrics.ring_bytes(capacity.ring_kib))
        .map_max_entries(INFLIGHT_MAP, capacity.threads)
        .map_max_entries(
            SUSPENDED_MAP,
            or_one(
                settings.interruptions != 0,
                suspended_entries(capacity.threads),
            ),
        )
        .map_max_entries(
            HANDOVERS_MAP,
            or_one(settings.outcomes != OUTCOMES_OFF, capacity.attempts),
        )
        .map_max_entries(
            ATTEMPTS_MAP,
            or_one(settings.outcomes != OUTCOMES_OFF, capacity.attempts),
        )
        .map_max_entries(
            IDENTITIES_MAP,
            or_one(
                settings.outcomes != OUTCOMES_OFF && settings.sockets != 0,
                IDENTITIES_ENTRIES,
            ),
        )
        .map_max_entries(
            REQUESTS_MAP,
            or_one(settings.io_uring != 0, REQUESTS_ENTRIES),
        )
        .map_max_entries(
            REQUESTS_BY_SOCKET_MAP,
            or_one(settings.io_uring != 0, REQUESTS_ENTRIES),
        )
        .map_max_entries(
            LINEAGE_MAP,
            or_one(scope == Scope::Lineage, LINEAGE_ENTRIES),
        )
        .override_global(COUNTING_GLOBAL, &metrics.counting, true)
        .map_max_entries(TALLIES_MAP, metrics.room(TALLIES))
        .map_max_entries(FAILURES_MAP, metrics.room(FAILURES as usize))
        .map_max_entries(DURATIONS_MAP, metrics.room(DURATIONS))
        .map_max_entries(SERIES_MAP, metrics.max_series)
        .load(OBJECT)
        .context("the kernel refuses the maps of connect-observer")
}

/// Hooks that are in place.
#[derive(Default)]
struct Placed {
    links: Vec<Link>,
    hooks: Vec<Hook>,
}

impl Placed {
    fn put(&mut self, object: &mut Ebpf, btf: Option<&Btf>, hooks: &[Hook]) -> Result<()> {
        for hook in hooks {
            self.links.push(hook.put_in_place(object, btf)?);
            self.hooks.push(*hook);
        }
        Ok(())
    }

    fn put_io_uring(&mut self, object: &mut Ebpf, how: &IoUring) -> Result<()> {
        match how {
            IoUring::Raw(raw) => {
                self.put(object, None, &IO_URING_HOOKS)?;
                self.put(object, None, &[io_uring_submit(raw.submit)])?;
            }
            IoUring::Plain(layout) => {
                self.put(object, None, &IO_URING_PLAIN_HOOKS)?;
                if layout.file_get_fd != 0 {
                    self.put(object, None, &[IO_URING_FILE_GET_HOOK])?;
                }
                if layout.failed_opcode != 0 {
                    self.put(object, None, &[IO_URING_FAILED_PLAIN_HOOK])?;
                }
            }
            IoUring::Off(_) => {}
        }
        Ok(())
    }
}

/// Puts the hooks on the kernel's functions in place: all of them, or none.
fn put_functions(
    placed: &mut Placed,
    object: &mut Ebpf,
    btf: Option<&Btf>,
    survey: &Survey,
) -> Functions {
    if survey.offsets().is_none() {
        return Functions::Refused("the kernel's BTF is missing or not understood".to_owned());
    }
    let mut functions = Placed::default();
    match functions.put(object, btf, &FUNCTION_HOOKS) {
        Ok(()) => {
            placed.links.append(&mut functions.links);
            placed.hooks.append(&mut functions.hooks);
            Functions::Attached
        }
        Err(error) => Functions::Refused(format!("{error:#}")),
    }
}

/// Whether the kernel's functions can be hooked, by doing so for a moment.
///
/// # Errors
///
/// The kernel refuses the object's maps.
pub fn try_functions(tracefs: &Tracefs, survey: &Survey) -> Result<Functions> {
    let plan = Plan {
        filters: &Filters {
            pid: None,
            uid: None,
            family: None,
            failed: false,
        },
        capacity: Capacity {
            ring_kib: 64,
            threads: 1,
            attempts: 1,
        },
        scope: Scope::Host,
        survey,
        means: &Means {
            hooks: Hooks::Auto,
            skip_socket: true,
            skip_io_uring: true,
        },
        settled_only: false,
        metrics: metrics::Plan::RECORDS,
    };
    let mut object = load(plan, &settings(tracefs, plan)?)?;
    let _logger = EbpfLogger::init(&mut object)?;
    let btf = survey.functions.to_btf()?;
    Ok(put_functions(
        &mut Placed::default(),
        &mut object,
        Some(&btf),
        survey,
    ))
}

fn settings(tracefs: &Tracefs, plan: Plan<'_>) -> Result<Settings> {
    let Plan {
        filters,
        capacity,
        scope,
        survey,
        means,
        ..
    } = plan;
    let lineage = scope == Scope::Lineage;
    let interruptions = survey.interruptions == Some(true);
    let field = |hook: Hook, field| match hook.at {
        At::Plain(category, name) => tracepoint_format::offset(tracefs, category, name, field),
        _ => Ok(0),
    };
    // Where the kernel's BTF does not say it.
    let deliver = |name| {
        if interruptions && survey.offsets().is_none() {
            field(SIGNAL_DELIVER_PLAIN, name)
        } else {
            Ok(0)
        }
    };
    let outcomes = match survey.outcomes {
        Outcomes::WithErrno(_) => OUTCOMES_WITH_ERRNO,
        Outcomes::WithoutErrno(_) => OUTCOMES_WITHOUT_ERRNO,
        Outcomes::Off(_) => OUTCOMES_OFF,
    };
    let (io_uring, io_uring_complete_cqe, io_uring_layout) = match survey.io_uring {
        _ if means.skip_io_uring => (false, false, IoUringLayout::NONE),
        IoUring::Raw(raw) => (true, raw.complete_cqe, IoUringLayout::NONE),
        IoUring::Plain(layout) => (true, false, layout),
        IoUring::Off(_) => (false, false, IoUringLayout::NONE),
    };
    Ok(Settings {
        pid: filters.pid.unwrap_or(ANY),
        uid: filters.uid.unwrap_or(ANY),
        family: filters.family.map_or(ANY, u32::from),
        failed: u32::from(filters.failed),
        lineage: u32::from(lineage),
        task_registers: task_registers(survey),
        wakeup_bytes: plan.metrics.ring_bytes(capacity.ring_kib) / 8,
        fork_child_pid: if lineage {
            field(LINEAGE_HOOK, "child_pid")?
        } else {
            0
        },
        interruptions: u32::from(interruptions),
        deliver_sa_handler: deliver("sa_handler")?,
        deliver_sa_flags: deliver("sa_flags")?,
        outcomes,
        sockets: u32::from(!means.skip_socket && survey.offsets().is_some()),
        settled_only: u32::from(plan.settled_only),
        native: match means.hooks {
            Hooks::Tracepoint => NATIVE_BY_TRACEPOINT,
            Hooks::Function => NATIVE_BY_FUNCTION,
            Hooks::Auto => NATIVE_BY_BOTH,
        },
        skipped: u32::from(preempts_programs()),
        io_uring: u32::from(io_uring),
        io_uring_complete_cqe: u32::from(io_uring_complete_cqe),
        io_uring_layout,
        offsets: survey.offsets().copied().unwrap_or(Offsets::NONE),
    })
}

/// How the registers that a task saved are found: `REGISTERS_*`.
fn task_registers(survey: &Survey) -> u32 {
    let by_helper = [
        BpfHelper::BPF_FUNC_get_current_task_btf,
        BpfHelper::BPF_FUNC_task_pt_regs,
    ]
    .into_iter()
    .all(|helper| is_helper_supported(ProgramType::TracePoint, helper).unwrap_or(false));
    if by_helper {
        REGISTERS_BY_HELPER
    } else if cfg!(target_arch = "x86_64") && survey.offsets().is_some() {
        REGISTERS_BY_STACK
    } else {
        REGISTERS_OFF
    }
}

fn take(object: &mut Ebpf, map: &str) -> Result<aya::maps::Map> {
    object
        .take_map(map)
        .with_context(|| format!("the kernel object has no map {map}"))
}
