//! Which groups of hooks an observation attaches, and what became of those that it can do without.

use super::{
    hooks::{self, Group, Hook},
    survey::{Associations, IoUring, Outcomes, Survey},
};
use crate::{
    host::kernel,
    observation::{Hooks, Means, Whom},
};

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

/// Groups of hooks, in the order of attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection(Vec<Group>);

impl Selection {
    /// What is to be attached on this kernel.
    #[must_use]
    pub fn of(survey: &Survey, means: Means, whom: &Whom) -> Self {
        let offsets = survey.offsets().is_some();
        let interruptions = survey.interruptions == Some(true);
        let by_tracepoint = means.hooks != Hooks::Function;
        let (raw, plain) = match &survey.io_uring {
            _ if !means.io_uring => (None, None),
            IoUring::Raw(raw) => (Some(raw), None),
            IoUring::Plain(layout) => (None, Some(layout)),
            IoUring::Off(_) => (None, None),
        };
        let wanted = |group| match group {
            Group::Signals => interruptions && offsets,
            Group::SignalsPlain => interruptions && !offsets,
            Group::HandlerReturns => interruptions && by_tracepoint,
            Group::Attempts => matches!(survey.outcomes, Outcomes::WithErrno(_)),
            Group::AttemptsPlain => matches!(survey.outcomes, Outcomes::WithoutErrno(_)),
            Group::Associations => means.sockets && survey.associations == Associations::Seen,
            Group::Lifetime => true,
            Group::LifetimeAgain => offsets && kernel::preempts_programs(),
            Group::Lineage => *whom != Whom::Host && offsets,
            Group::LineageAgain => *whom != Whom::Host && offsets && kernel::preempts_programs(),
            Group::LineagePlain => *whom != Whom::Host && !offsets,
            Group::IoUring => raw.is_some(),
            Group::IoUringSubmit => raw.is_some_and(|raw| raw.submit_req),
            Group::IoUringSubmitOld => raw.is_some_and(|raw| !raw.submit_req),
            Group::IoUringFailedPlain => plain.is_some_and(|layout| layout.failed_opcode != 0),
            Group::IoUringFile => plain.is_some_and(|layout| layout.file_get_fd != 0),
            Group::IoUringPlain => plain.is_some(),
            Group::Functions => means.hooks != Hooks::Tracepoint,
            Group::Compat => means.compat && offsets,
            Group::Syscall => by_tracepoint,
        };
        let mut groups: Vec<_> = hooks::HOOKS.iter().map(|hook| hook.group).collect();
        groups.dedup();
        groups.retain(|group| wanted(*group));
        Self(groups)
    }

    /// The groups.
    pub fn groups(&self) -> impl Iterator<Item = Group> {
        self.0.iter().copied()
    }

    /// Whether a group is attached, once it is known what has become of the functions'. What those see, nothing
    /// else need see.
    #[must_use]
    pub fn includes(&self, group: Group, functions: &Functions) -> bool {
        let attached = *functions == Functions::Attached;
        self.0.contains(&group)
            && match group {
                Group::Functions => attached,
                Group::Compat => !attached,
                _ => true,
            }
    }

    /// The hooks of all groups that are attached.
    #[must_use]
    pub fn hooks(&self, functions: &Functions) -> impl DoubleEndedIterator<Item = &'static Hook> {
        hooks::HOOKS
            .iter()
            .filter(move |hook| self.includes(hook.group, functions))
    }
}
