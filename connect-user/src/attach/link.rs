//! Hooks in place, and how they go.

use std::{
    mem,
    os::fd::{AsFd as _, OwnedFd},
    thread,
};

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Btf, Ebpf,
    programs::{
        FEntry, FExit, Program, ProgramError, RawTracePoint, TracePoint, fentry::FEntryLink,
        fexit::FExitLink, raw_trace_point::RawTracePointLink, trace_point::TracePointLink,
    },
};

use super::{
    hooks::{self, Group, HOOKS, Hook, Point, Records},
    maps::Switch,
};
use crate::errno::in_words;

/// Hooks that are in place. Dropping them detaches them.
#[derive(Default)]
pub struct Links {
    /// Those that report calls, by group.
    calls: Vec<Link>,
    /// Those that follow what becomes of calls.
    others: Vec<Link>,
    /// What is in place.
    hooks: Vec<Hook>,
    /// What they all look at, once it is on.
    switch: Option<Switch>,
}

impl Links {
    /// Loads the programs of a group and puts them in place: all, or none. `btf` is needed for functions only.
    ///
    /// # Errors
    ///
    /// The kernel refuses a program or a hook.
    pub fn put(&mut self, object: &mut Ebpf, btf: Option<&Btf>, group: Group) -> Result<()> {
        let links: Result<Vec<_>> = hooks::of(group)
            .map(|hook| put_in_place(*hook, object, btf))
            .collect();
        let all = if group.reports_calls() {
            &mut self.calls
        } else {
            &mut self.others
        };
        all.append(&mut links?);
        self.hooks.extend(hooks::of(group));
        Ok(())
    }

    /// Has all of them observe from now on, until they are dropped.
    ///
    /// # Errors
    ///
    /// The kernel does not let the switch be set.
    pub fn go_live(&mut self, mut switch: Switch) -> Result<()> {
        switch.set(true)?;
        self.switch = Some(switch);
        Ok(())
    }

    /// The programs whose missed runs may be missed calls. `instead`: native calls have no tracepoints.
    ///
    /// # Errors
    ///
    /// There are no descriptors left.
    pub fn watched(&self, object: &mut Ebpf, instead: bool) -> Result<Watched> {
        let mut watched = Watched::default();
        for hook in &self.hooks {
            let to = match hook.records {
                Records::Native => &mut watched.returns,
                Records::NativeInstead if instead => &mut watched.returns,
                Records::Others => &mut watched.others,
                Records::OfTask => &mut watched.forks,
                Records::No | Records::NativeInstead => continue,
            };
            to.push(descriptor(object, hook)?);
        }
        Ok(watched)
    }

    /// Every point of the table, once, with the descriptors of its programs where it is hooked into.
    ///
    /// # Errors
    ///
    /// There are no descriptors left.
    pub fn states(&self, object: &mut Ebpf) -> Result<Vec<HookState>> {
        let mut states: Vec<HookState> = Vec::new();
        for hook in HOOKS {
            let name = hook.point.name();
            let programs = if self.hooks.contains(hook) {
                vec![descriptor(object, hook)?]
            } else {
                Vec::new()
            };
            match states.iter_mut().find(|state| state.name == name) {
                Some(state) => state.programs.extend(programs),
                None => states.push(HookState { name, programs }),
            }
        }
        Ok(states)
    }
}

impl Drop for Links {
    /// First, nothing is observed any more. Then what follows calls goes after what begins them. The kernel waits
    /// for every CPU at every hook that goes; of several at once, it waits only once.
    fn drop(&mut self) {
        if let Some(switch) = &mut self.switch
            && let Err(error) = switch.set(false)
        {
            log::warn!("calls under way at the end may look lost: {error:#}");
        }
        for links in [mem::take(&mut self.calls), mem::take(&mut self.others)] {
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

/// Programs whose missed runs may be missed calls. Their descriptors are of use also when the hooks are gone.
#[derive(Debug, Default)]
pub struct Watched {
    /// Programs that make the records of native calls.
    pub returns: Vec<OwnedFd>,
    /// Programs that make those of others.
    pub others: Vec<OwnedFd>,
    /// Programs each of which sees every task begin that may have to be followed.
    pub forks: Vec<OwnedFd>,
}

/// A point in the kernel, and what runs there.
#[derive(Debug)]
pub struct HookState {
    /// [`Point::name`].
    pub name: String,
    /// The programs, if the point is hooked into.
    pub programs: Vec<OwnedFd>,
}

/// Dropping it detaches a hook.
#[expect(dead_code, reason = "held to be dropped")]
enum Link {
    Plain(TracePointLink),
    Raw(RawTracePointLink),
    Entry(FEntryLink),
    Exit(FExitLink),
}

fn put_in_place(hook: Hook, object: &mut Ebpf, btf: Option<&Btf>) -> Result<Link> {
    let refused = |error| refused(error, hook.program);
    let attached = |error: ProgramError| {
        let point = hook.point.name();
        anyhow!(error).context(format!("cannot attach to {point}"))
    };
    let program = program(object, hook.program)?;
    Ok(match hook.point {
        Point::Plain(tracepoint) => {
            let loaded: &mut TracePoint = program.try_into()?;
            loaded.load().map_err(refused)?;
            let link = loaded.attach(tracepoint.category, tracepoint.name);
            Link::Plain(loaded.take_link(link.map_err(attached)?)?)
        }
        Point::Raw(tracepoint) => {
            let loaded: &mut RawTracePoint = program.try_into()?;
            loaded.load().map_err(refused)?;
            let link = loaded.attach(tracepoint.name).map_err(attached)?;
            Link::Raw(loaded.take_link(link)?)
        }
        Point::Entry(function) => {
            let loaded: &mut FEntry = program.try_into()?;
            let btf = btf.context("the kernel has no BTF")?;
            loaded.load(function, btf).map_err(refused)?;
            let link = loaded.attach().map_err(attached)?;
            Link::Entry(loaded.take_link(link)?)
        }
        Point::Exit(function) => {
            let loaded: &mut FExit = program.try_into()?;
            let btf = btf.context("the kernel has no BTF")?;
            loaded.load(function, btf).map_err(refused)?;
            let link = loaded.attach().map_err(attached)?;
            Link::Exit(loaded.take_link(link)?)
        }
    })
}

fn refused(error: ProgramError, program: &str) -> anyhow::Error {
    let error = match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            log::debug!("{verifier_log}");
            anyhow!(in_words(&io_error))
        }
        other => anyhow!(other),
    };
    error.context(format!("the kernel refuses the program {program}"))
}

fn descriptor(object: &mut Ebpf, hook: &Hook) -> Result<OwnedFd> {
    let program = program(object, hook.program)?;
    Ok(program.fd()?.as_fd().try_clone_to_owned()?)
}

fn program<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Program> {
    object
        .program_mut(name)
        .with_context(|| format!("the kernel object has no program {name}"))
}
