//! Classes of address families, by which calls are counted: few, whatever families a process makes up.

use crate::uapi::family::{
    AF_ALG, AF_BLUETOOTH, AF_CAN, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_QIPCRTR, AF_TIPC,
    AF_UNIX, AF_UNSPEC, AF_VSOCK, AF_XDP,
};

/// Class of a family: the address was not read, or has none.
pub const CLASS_UNKNOWN: u8 = 0;
/// Class of a family that no decoder knows.
pub const CLASS_OTHER: u8 = 1;

/// Number of classes. 16, so that a class has 4 bits.
pub const CLASSES: usize = 16;

/// Every class by its number: its name in metrics, and the family that it stands for, if it is one. Every
/// family that is decoded has a class of its own; all others share [`CLASS_OTHER`].
const TABLE: [(&str, Option<u16>); CLASSES] = [
    ("unknown", None),
    ("other", None),
    ("unspec", Some(AF_UNSPEC)),
    ("unix", Some(AF_UNIX)),
    ("inet", Some(AF_INET)),
    ("inet6", Some(AF_INET6)),
    ("netlink", Some(AF_NETLINK)),
    ("packet", Some(AF_PACKET)),
    ("can", Some(AF_CAN)),
    ("tipc", Some(AF_TIPC)),
    ("bluetooth", Some(AF_BLUETOOTH)),
    ("alg", Some(AF_ALG)),
    ("vsock", Some(AF_VSOCK)),
    ("qipcrtr", Some(AF_QIPCRTR)),
    ("xdp", Some(AF_XDP)),
    ("reserved", None),
];

/// Name of a class in metrics.
#[must_use]
pub fn class_name(class: u8) -> &'static str {
    TABLE
        .get(usize::from(class))
        .map_or("other", |&(name, _)| name)
}

/// Class of an address family (`AF_*`).
///
/// A table, as the verifier would follow each arm of a `match` to the end of the program.
#[must_use]
#[inline(always)]
#[expect(clippy::inline_always, reason = "a call between BPF functions costs")]
pub fn class_of(family: u16) -> u8 {
    CLASS_BY_FAMILY
        .get(usize::from(family))
        .copied()
        .unwrap_or(CLASS_OTHER)
}

/// [`TABLE`] the other way round.
#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated by the compiler, which would report an index out of bounds; 16 classes"
)]
static CLASS_BY_FAMILY: [u8; 64] = {
    let mut classes = [CLASS_OTHER; 64];
    let mut class = 0;
    while class < CLASSES {
        if let (_, Some(family)) = TABLE[class] {
            classes[family as usize] = class as u8;
        }
        class += 1;
    }
    classes
};

/// Coarse classes of families, which histograms keep, by their number.
pub const COARSE_NAMES: [&str; COARSE_CLASSES] = ["other", "unix", "inet", "inet6"];

/// Number of coarse classes.
pub const COARSE_CLASSES: usize = 4;

/// Coarse class of a class.
#[must_use]
#[inline(always)]
pub const fn coarse_class(class: u8) -> u8 {
    // Two bits per class, for the reason that `class_of` gives.
    const COARSE: u32 = 1 << (3 * 2) | 2 << (4 * 2) | 3 << (5 * 2);
    ((COARSE >> ((class as u32 & 15) * 2)) & 3) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_name_of_its_own() {
        for (class, (name, family)) in (0..).zip(TABLE) {
            assert_eq!(TABLE.iter().filter(|(other, _)| *other == name).count(), 1);
            assert_eq!(class_name(class), name);
            if let Some(family) = family {
                assert_eq!(class_of(family), class, "{name}");
                let coarse = COARSE_NAMES.iter().position(|coarse| *coarse == name);
                assert_eq!(usize::from(coarse_class(class)), coarse.unwrap_or(0));
            }
        }
        assert_eq!(class_of(u16::MAX), CLASS_OTHER);
    }
}
