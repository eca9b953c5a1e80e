//! Values of labels.

use std::borrow::Cow;

use connect_ebpf::{
    counter::{COARSE_FAMILY_NAMES, class_name, errno_of_code},
    record::{
        TRANSPORT_DCCP, TRANSPORT_ICMP, TRANSPORT_MPTCP, TRANSPORT_OTHER, TRANSPORT_RAW,
        TRANSPORT_SCTP, TRANSPORT_SMC, TRANSPORT_TCP, TRANSPORT_UDP, TRANSPORT_UDPLITE,
        TRANSPORT_UNIX, TRANSPORT_UNKNOWN, VIA_COMPAT, VIA_IO_URING, VIA_SYSCALL,
    },
};

use crate::errno;

/// A class of families.
pub(super) fn family(class: u8) -> &'static str {
    class_name(class)
}

/// A coarse class of families.
pub(super) fn coarse_family(class: u8) -> &'static str {
    COARSE_FAMILY_NAMES
        .get(usize::from(class))
        .unwrap_or(&"other")
}

/// A transport; its number where it has no name.
pub(super) fn transport(transport: u8) -> Cow<'static, str> {
    match transport {
        TRANSPORT_UNKNOWN => "unknown".into(),
        TRANSPORT_TCP => "tcp".into(),
        TRANSPORT_UDP => "udp".into(),
        TRANSPORT_UNIX => "unix".into(),
        TRANSPORT_MPTCP => "mptcp".into(),
        TRANSPORT_SCTP => "sctp".into(),
        TRANSPORT_DCCP => "dccp".into(),
        TRANSPORT_UDPLITE => "udplite".into(),
        TRANSPORT_ICMP => "icmp".into(),
        TRANSPORT_RAW => "raw".into(),
        TRANSPORT_SMC => "smc".into(),
        TRANSPORT_OTHER => "other".into(),
        other => other.to_string().into(),
    }
}

/// A way into connect; its number where it has no name.
pub(super) fn via(via: u8) -> Cow<'static, str> {
    match via {
        VIA_SYSCALL => "syscall".into(),
        VIA_IO_URING => "io_uring".into(),
        VIA_COMPAT => "compat".into(),
        other => other.to_string().into(),
    }
}

/// The code of an errno.
pub(super) fn errno(code: u8) -> Cow<'static, str> {
    match errno_of_code(code) {
        Some(0) => "none".into(),
        Some(errno) => errno::label(errno),
        None => "other".into(),
    }
}

/// What a connect came to, by `RESULT_*`.
pub(super) const RESULTS: [&str; 3] = ["success", "in_progress", "failure"];

/// What became of an attempt, by `OUTCOME_*` less 1.
pub(super) const OUTCOMES: [&str; 3] = ["established", "failed", "abandoned"];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use connect_ebpf::counter::{ERRNO_OTHER, FAMILY_OTHER, errno_code, family_class};

    use crate::address;

    #[test]
    fn a_family_with_a_decoder_has_a_class_of_its_name() {
        for family in 0..=u16::MAX {
            let class = family_class(family);
            if address::is_decoded(family) {
                let name = address::family_label(family).to_lowercase();
                assert_eq!(Some(super::family(class)), name.strip_prefix("af_"));
            } else {
                assert_eq!(class, FAMILY_OTHER, "{family}");
            }
        }
    }

    #[test]
    fn every_errno_has_a_code_of_its_own() {
        let mut codes = BTreeSet::new();
        for &(errno, name) in crate::errno::ERRNOS {
            let code = errno_code(errno.into());
            assert!(code != ERRNO_OTHER && codes.insert(code), "{name}");
            assert_eq!(super::errno(code), name);
        }
        assert_eq!(super::errno(errno_code(0)), "none");
        for errno in [135, 511, 532, 4095, u64::MAX] {
            assert_eq!(super::errno(errno_code(errno)), "other");
        }
    }
}
