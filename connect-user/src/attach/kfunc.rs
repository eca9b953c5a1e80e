//! Calls of kernel functions, made in the kernel object before it is loaded: aya knows none.
//!
//! Encoding: `include/uapi/linux/bpf.h`, `struct bpf_insn` and `BPF_PSEUDO_KFUNC_CALL`.

use connect_ebpf::kfunc::{PREEMPT_DISABLE, PREEMPT_ENABLE};
use zerocopy::IntoBytes as _;

/// Functions that programs call, by the mark that stands in the kernel object.
pub(super) const CALLED: [(&str, i32); 2] = [
    ("bpf_preempt_disable", PREEMPT_DISABLE),
    ("bpf_preempt_enable", PREEMPT_ENABLE),
];

/// `BPF_JMP | BPF_CALL`, of a helper: no registers, no offset.
const CALL: [u8; 4] = [0x85, 0, 0, 0];
/// The same of a kernel function: `BPF_PSEUDO_KFUNC_CALL` is the source register.
const CALL_OF_FUNCTION: [u8; 4] = [0x85, 0x20, 0, 0];
/// `BPF_JMP | BPF_JA` to the next instruction.
const NOTHING: [u8; 8] = [0x05, 0, 0, 0, 0, 0, 0, 0];

/// A kernel object, aligned as aya needs it.
pub(super) struct Object {
    words: Vec<u64>,
    length: usize,
}

impl Object {
    /// Has the programs of `object` call these functions of the running kernel, whose ids in its BTF
    /// `id_of` tells. Unless it has all of them, they call none.
    pub(super) fn calling(object: &[u8], id_of: impl Fn(&str) -> Option<u32>) -> Self {
        let mut words = vec![0; object.len().div_ceil(size_of::<u64>())];
        let bytes = words.as_mut_bytes();
        for (to, from) in bytes.iter_mut().zip(object) {
            *to = *from;
        }
        let has_all = CALLED.iter().all(|(name, _)| id_of(name).is_some());
        for (name, mark) in CALLED {
            let marked = [CALL, mark.to_le_bytes()].concat();
            let replacement = match id_of(name).filter(|_| has_all) {
                Some(id) => [CALL_OF_FUNCTION, id.to_le_bytes()].concat(),
                None => NOTHING.to_vec(),
            };
            // Sections of programs, and so instructions, are aligned.
            for instruction in bytes.chunks_exact_mut(NOTHING.len()) {
                if instruction == marked {
                    instruction.copy_from_slice(&replacement);
                }
            }
        }
        Self {
            words,
            length: object.len(),
        }
    }

    /// The object as it is to be loaded.
    pub(super) fn bytes(&self) -> &[u8] {
        let bytes = self.words.as_bytes();
        bytes.get(..self.length).unwrap_or(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::Object;

    /// r0 = 0; a marked call; the other; exit
    const PROGRAM: [u8; 32] = [
        0xb7, 0, 0, 0, 0, 0, 0, 0, //
        0x85, 0, 0, 0, 0x01, 0, 0x70, 0x63, //
        0x85, 0, 0, 0, 0x02, 0, 0x70, 0x63, //
        0x95, 0, 0, 0, 0, 0, 0, 0,
    ];

    #[test]
    fn a_kernel_that_has_the_functions_is_called() {
        let object = Object::calling(&PROGRAM, |name| match name {
            "bpf_preempt_disable" => Some(0x0102),
            "bpf_preempt_enable" => Some(0x0304),
            _ => None,
        });
        let expected = [
            0xb7, 0, 0, 0, 0, 0, 0, 0, //
            0x85, 0x20, 0, 0, 0x02, 0x01, 0, 0, //
            0x85, 0x20, 0, 0, 0x04, 0x03, 0, 0, //
            0x95, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(object.bytes(), expected);
    }

    #[test]
    fn a_kernel_that_lacks_one_is_not_called() {
        let object = Object::calling(&PROGRAM, |name| {
            (name == "bpf_preempt_disable").then_some(7)
        });
        let expected = [
            0xb7, 0, 0, 0, 0, 0, 0, 0, //
            0x05, 0, 0, 0, 0, 0, 0, 0, //
            0x05, 0, 0, 0, 0, 0, 0, 0, //
            0x95, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(object.bytes(), expected);
    }

    #[test]
    fn an_object_keeps_its_length() {
        let object = [1, 2, 3, 4, 5, 6, 7, 8, 9];
        assert_eq!(Object::calling(&object, |_| None).bytes(), object);
    }
}
