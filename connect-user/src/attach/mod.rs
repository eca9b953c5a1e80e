//! Loads the kernel object and puts its hooks in place, by the one table of [`hooks`].

pub mod counts;
pub mod hooks;
pub mod link;
pub mod maps;
mod object;
pub mod selection;
mod settings;
pub mod survey;

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use aya::{Btf, Ebpf};
use aya_log::EbpfLogger;
use log::Log;

use self::{
    counts::Counts,
    hooks::Group,
    link::{HookState, Links, Watched},
    maps::{CounterMaps, Lineage, RecordMaps, Ring, SeriesMaps, Switch},
    object::load,
    selection::{Functions, Selection},
    settings::settings,
    survey::Survey,
};
use crate::{
    host::tracefs::Tracefs,
    observation::{Capacity, Hooks, Means, Observation, Whom},
};

/// The kernel object with its hooks attached, part by part: whoever needs a part takes it.
pub struct Attached {
    /// The hooks; dropping them detaches them. They observe when they have got the switch.
    pub links: Links,
    /// What all hooks look at.
    pub switch: Switch,
    /// Each point of the table, and what runs there.
    pub hooks: Vec<HookState>,
    /// What has become of the hooks on the kernel's functions.
    pub functions: Functions,
    /// Records, and what was lost of them.
    pub records: RecordMaps,
    /// The programs whose missed runs may be missed calls.
    pub watched: Watched,
    /// The ring buffer, to see how full it is.
    pub ring: Ring,
    /// What is counted.
    pub counts: Counts,
    /// The counters.
    pub counters: CounterMaps,
    /// The counters by label.
    pub series: SeriesMaps,
    /// The tasks that are observed because of their ancestry.
    pub lineage: Lineage,
    /// What the kernel object logs.
    pub log: KernelLog,
}

/// What the kernel object logs, which is only faults.
pub struct KernelLog(EbpfLogger<&'static dyn Log>);

impl KernelLog {
    /// Passes on what has been logged.
    pub fn pass_on(&mut self) {
        self.0.flush();
    }
}

/// Loads and attaches. Returns when every hook is attached. Metrics are served at `listening`, if they are.
///
/// # Errors
///
/// The kernel refuses a program, a map or a hook. [`crate::preflight`] has ruled out what can be
/// known beforehand.
pub fn attach(
    tracefs: &Tracefs,
    observation: &Observation,
    survey: &Survey,
    listening: Option<SocketAddr>,
) -> Result<Attached> {
    let counts = Counts::of(observation, listening);
    let settings = settings(tracefs, observation, survey, &counts)?;
    let mut object = load(&settings, &counts, observation.capacity)?;
    // The logger takes its map before programs are loaded, or they would not find it.
    let log = EbpfLogger::init(&mut object).context("cannot read the kernel object's log")?;

    let hooks = observation.means.hooks;
    let btf = match hooks {
        Hooks::Tracepoint => None,
        Hooks::Auto | Hooks::Function => Some(survey.functions.to_btf()?),
    };
    let mut links = Links::default();
    let mut functions = Functions::Unwanted;
    let selection = Selection::of(survey, observation.means, &observation.whom);
    for group in selection.groups() {
        if group == Group::Functions {
            functions = put_functions(&mut links, &mut object, btf.as_ref(), survey);
        } else if selection.includes(group, &functions) {
            links.put(&mut object, None, group)?;
        }
    }
    let sees_compat = selection.includes(Group::Compat, &functions);
    if hooks == Hooks::Function
        && let Functions::Refused(why) = functions
    {
        bail!("--hooks function does not work here: {why}; use --hooks auto");
    }

    let (records, descriptor) = RecordMaps::take(&mut object)?;
    Ok(Attached {
        hooks: links.states(&mut object)?,
        watched: links.watched(&mut object, hooks == Hooks::Function)?,
        links,
        functions,
        records,
        ring: Ring {
            descriptor,
            size: counts.ring_bytes,
        },
        counts,
        counters: CounterMaps::take(&mut object)?,
        series: SeriesMaps::take(&mut object)?,
        lineage: Lineage::take(&mut object)?,
        switch: Switch::take(&mut object, sees_compat)?,
        log: KernelLog(log),
    })
}

/// Puts the hooks on the kernel's functions in place, if the kernel lets us.
fn put_functions(
    links: &mut Links,
    object: &mut Ebpf,
    btf: Option<&Btf>,
    survey: &Survey,
) -> Functions {
    if survey.offsets().is_none() {
        return Functions::Refused(
            "the kernel's BTF cannot be read or is not understood".to_owned(),
        );
    }
    match links.put(object, btf, Group::Functions) {
        Ok(()) => Functions::Attached,
        Err(error) => Functions::Refused(format!("{error:#}")),
    }
}

/// Whether the kernel's functions can be hooked, by doing so for a moment.
///
/// # Errors
///
/// The kernel refuses the object's maps.
pub fn try_functions(tracefs: &Tracefs, survey: &Survey) -> Result<Functions> {
    let observation = Observation {
        means: Means {
            hooks: Hooks::Auto,
            sockets: false,
            io_uring: false,
            compat: false,
        },
        capacity: Capacity {
            ring_bytes: 64 << 10,
            threads: 1,
            attempts: 1,
        },
        ..Observation::of(Whom::Host)
    };
    let counts = Counts::of(&observation, None);
    let settings = settings(tracefs, &observation, survey, &counts)?;
    let mut object = load(&settings, &counts, observation.capacity)?;
    let _logger = EbpfLogger::init(&mut object)?;
    let btf = survey.functions.to_btf()?;
    Ok(put_functions(
        &mut Links::default(),
        &mut object,
        Some(&btf),
        survey,
    ))
}
