//! What the sinks show of an event about a call or its attempt.

use connect_ebpf::code::Settlement;

use crate::{
    clock::Moment,
    event::{Call, Connect, KILLED, Outcome, Verdict},
};

/// What a call and an outcome have in common when a person looks at them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// When the call returned, or its attempt was settled.
    pub(super) ended: Moment,
    /// Who, what, where.
    pub(super) call: &'a Call,
    /// In a word.
    pub(super) result: &'a str,
    /// The errno, 0 where there is none.
    pub(super) errno: u32,
    /// What it means.
    pub(super) verdict: Verdict,
    /// The call has failed without an attempt.
    pub(super) is_refused: bool,
    /// How long it took, in ns, if that is known.
    pub(super) duration_ns: Option<u64>,
    /// Of an outcome: what became of the attempt.
    pub(super) outcome: Option<Settlement>,
    /// Of an outcome: what its call had returned.
    pub(super) left_with: Option<&'a str>,
    /// Of an outcome: see [`Outcome::unread`].
    pub(super) unread: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// What of it is worth an explanation: a failure, or that the application gave up, was killed, or needed it no
    /// more. An attempt whose call was killed is given up for that.
    #[must_use]
    pub(super) fn to_explain(self) -> Option<&'a str> {
        match self.verdict {
            Verdict::Abandoned if self.left_with == Some(KILLED) => Some(KILLED),
            Verdict::Failed | Verdict::Abandoned | Verdict::Superseded => Some(self.result),
            _ if self.result == KILLED => Some(KILLED),
            Verdict::Succeeded | Verdict::InProgress | Verdict::AskedAgain => None,
        }
    }
}

impl<'a> From<&'a Connect> for Line<'a> {
    fn from(connect: &'a Connect) -> Self {
        Self {
            ended: connect.ended,
            call: &connect.call,
            result: connect.result(),
            errno: connect.errno,
            verdict: connect.verdict(),
            is_refused: connect.verdict() == Verdict::Failed && connect.attempt.is_none(),
            duration_ns: connect.duration_ns,
            outcome: None,
            left_with: None,
            unread: None,
        }
    }
}

impl<'a> From<&'a Outcome> for Line<'a> {
    fn from(outcome: &'a Outcome) -> Self {
        Self {
            ended: outcome.ended,
            call: &outcome.call,
            result: outcome.result(),
            errno: outcome
                .errno
                .filter(|_| outcome.unread().is_none())
                .unwrap_or(0),
            verdict: outcome.verdict(),
            is_refused: false,
            duration_ns: Some(outcome.duration_ns),
            outcome: Some(outcome.outcome),
            left_with: Some(&outcome.left_with),
            unread: outcome.unread(),
        }
    }
}
