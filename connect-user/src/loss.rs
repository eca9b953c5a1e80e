//! Why a record was not delivered: every reason, of the kernel's side and of ours.

use connect_ebpf::loss::KernelLoss;

/// Why a record was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The kernel object could not write it.
    Kernel(KernelLoss),
    /// The kernel did not run the hook, as another tracepoint program was running on that CPU.
    HookMissed,
    /// The kernel ran none of the hooks on a task that began, which may be one that had to be followed. One per task:
    /// how many calls it makes is not known.
    LineageMissed,
    /// The agent could not make sense of it.
    Malformed,
    /// The reader of the output was slower than the events came.
    OutputFull,
    /// The reader of the output went away.
    OutputClosed,
    /// The output could not be written, as on a full disk.
    OutputFailed,
}

impl Loss {
    /// Every reason.
    pub const ALL: [Self; 14] = [
        Self::Kernel(KernelLoss::RingFull),
        Self::Kernel(KernelLoss::InflightFull),
        Self::Kernel(KernelLoss::LineageFull),
        Self::Kernel(KernelLoss::AttemptsFull),
        Self::Kernel(KernelLoss::OutcomeMissed),
        Self::Kernel(KernelLoss::NestingFull),
        Self::Kernel(KernelLoss::CompletionMissed),
        Self::Kernel(KernelLoss::ReturnMissed),
        Self::HookMissed,
        Self::LineageMissed,
        Self::Malformed,
        Self::OutputFull,
        Self::OutputClosed,
        Self::OutputFailed,
    ];

    /// Name of the reason in events, totals and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel(loss) => loss.name(),
            Self::HookMissed => "hook_missed",
            Self::LineageMissed => "lineage_missed",
            Self::Malformed => "malformed",
            Self::OutputFull => "output_full",
            Self::OutputClosed => "output_closed",
            Self::OutputFailed => "output_failed",
        }
    }
}
