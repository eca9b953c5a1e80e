//! What the kernel object can attach to: one line per program of it.

use std::fmt;

use anyhow::{Context as _, Result, anyhow};
use aya::{
    Btf, Ebpf,
    programs::{
        FEntry, FExit, Program, ProgramError, RawTracePoint, TracePoint, fentry::FEntryLink,
        fexit::FExitLink, raw_trace_point::RawTracePointLink, trace_point::TracePointLink,
    },
};

/// A place in the kernel, and the program that runs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hook {
    /// Name of the program in the kernel object.
    pub(super) program: &'static str,
    /// Where it runs.
    pub(super) at: At,
}

/// A place in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// A tracepoint, through perf: category and name, as in tracefs.
    Plain(&'static str, &'static str),
    /// A tracepoint, directly.
    Raw(&'static str),
    /// The beginning of a function.
    Entry(&'static str),
    /// The end of a function.
    Exit(&'static str),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_, name) | Self::Raw(name) => f.write_str(name),
            Self::Entry(function) => write!(f, "fentry:{function}"),
            Self::Exit(function) => write!(f, "fexit:{function}"),
        }
    }
}

impl Hook {
    /// A program that has the name of its tracepoint.
    pub(super) const fn plain(category: &'static str, name: &'static str) -> Self {
        Self {
            program: name,
            at: At::Plain(category, name),
        }
    }

    /// The same for a raw one.
    pub(super) const fn raw(name: &'static str) -> Self {
        Self {
            program: name,
            at: At::Raw(name),
        }
    }

    /// Loads the program and puts it in place. `btf` is needed for functions only.
    pub(super) fn put_in_place(&self, object: &mut Ebpf, btf: Option<&Btf>) -> Result<Link> {
        let Self { program: name, at } = *self;
        let refused = |error| refused(error, name);
        let attached =
            |error: ProgramError| anyhow!(error).context(format!("cannot attach to {at}"));
        let program = program(object, name)?;
        Ok(match at {
            At::Plain(category, tracepoint) => {
                let loaded: &mut TracePoint = program.try_into()?;
                loaded.load().map_err(refused)?;
                let link = loaded.attach(category, tracepoint).map_err(attached)?;
                Link::Plain(loaded.take_link(link)?)
            }
            At::Raw(tracepoint) => {
                let loaded: &mut RawTracePoint = program.try_into()?;
                loaded.load().map_err(refused)?;
                let link = loaded.attach(tracepoint).map_err(attached)?;
                Link::Raw(loaded.take_link(link)?)
            }
            At::Entry(function) => {
                let loaded: &mut FEntry = program.try_into()?;
                let btf = btf.context("the kernel has no BTF")?;
                loaded.load(function, btf).map_err(refused)?;
                let link = loaded.attach().map_err(attached)?;
                Link::Entry(loaded.take_link(link)?)
            }
            At::Exit(function) => {
                let loaded: &mut FExit = program.try_into()?;
                let btf = btf.context("the kernel has no BTF")?;
                loaded.load(function, btf).map_err(refused)?;
                let link = loaded.attach().map_err(attached)?;
                Link::Exit(loaded.take_link(link)?)
            }
        })
    }
}

/// Drops to detach.
#[expect(dead_code, reason = "held to be dropped")]
pub(super) enum Link {
    Plain(TracePointLink),
    Raw(RawTracePointLink),
    Entry(FEntryLink),
    Exit(FExitLink),
}

fn refused(error: ProgramError, program: &str) -> anyhow::Error {
    let error = match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
        } => {
            log::debug!("{verifier_log}");
            anyhow!(io_error)
        }
        other => anyhow!(other),
    };
    error.context(format!("the kernel refuses the program {program}"))
}

/// A program of the kernel object.
pub(super) fn program<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut Program> {
    object
        .program_mut(name)
        .with_context(|| format!("the kernel object has no program {name}"))
}
