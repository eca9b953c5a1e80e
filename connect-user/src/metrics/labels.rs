//! Values of labels.

use std::borrow::Cow;

use connect_ebpf::{
    code::{Transport, Via},
    counter::errno_of_code,
    family::COARSE_NAMES,
};

use crate::errno;

/// Name of a coarse class of families.
pub(super) fn coarse_class(class: u8) -> &'static str {
    COARSE_NAMES.get(usize::from(class)).unwrap_or(&"other")
}

/// Name of a transport, by its number.
pub(super) fn transport(number: u8) -> Cow<'static, str> {
    named(Transport::of(number).map(Transport::name), number)
}

/// Name of a way into connect, by its number.
pub(super) fn via(number: u8) -> Cow<'static, str> {
    named(Via::of(number).map(Via::name), number)
}

/// Name of an errno, by its code.
pub(super) fn errno(code: u8) -> Cow<'static, str> {
    match errno_of_code(code) {
        Some(0) => "none".into(),
        Some(errno) => errno::label(errno),
        None => "other".into(),
    }
}

/// The number as text where it has no name, as a counter may have more places than there are codes.
fn named(name: Option<&'static str>, number: u8) -> Cow<'static, str> {
    name.map_or_else(|| number.to_string().into(), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use connect_ebpf::{
        counter::{ERRNO_OTHER, errno_code},
        family::{CLASS_OTHER, class_name, class_of},
    };

    use crate::address;

    #[test]
    fn a_family_with_a_decoder_has_a_class_of_its_name() {
        for family in 0..=u16::MAX {
            let class = class_of(family);
            if address::is_decoded(family) {
                let name = address::family_label(family).to_lowercase();
                assert_eq!(Some(class_name(class)), name.strip_prefix("af_"));
            } else {
                assert_eq!(class, CLASS_OTHER, "{family}");
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
