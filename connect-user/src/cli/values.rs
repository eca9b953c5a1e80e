//! How values with names are typed, and what `--help` says of each.

use clap::{ValueEnum, builder::PossibleValue};

use crate::observation::{Color, Format, Hooks, Label};

/// Says how the variants of a type of [`crate::observation`] are typed, and what `--help` says of each.
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
    Tracepoint = "tracepoint", "The system call tracepoints: no 32-bit calls without --compat, and the address as the caller's memory has it";
    Function = "function", "The kernel's functions (fentry, fexit): other system calls stay as fast as they are";
});
