//! The kernel's type information: a reader of the few types that are asked for, and a writer of hardly any.
//!
//! The format is that of `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h` in the kernel. A
//! reader of the few structures that are needed takes 2 ms, where a whole model of the kernel's
//! types takes a hundred.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail, ensure};

const MAGIC: u16 = 0xeb9f;
/// `struct btf_header`.
const HEADER_LENGTH: u32 = 24;
/// `struct btf_type`: name, info, size or type.
const TYPE_LENGTH: usize = 12;
/// `struct btf_member`: name, type, offset in bits.
const MEMBER_LENGTH: usize = 12;

/// `struct btf_param`: name, type.
const PARAMETER_LENGTH: usize = 8;

const KIND_INT: u32 = 1;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_ENUM: u32 = 6;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_FWD: u32 = 7;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_VAR: u32 = 14;
const KIND_DATASEC: u32 = 15;
const KIND_DECL_TAG: u32 = 17;
const KIND_ENUM64: u32 = 19;

/// How deep anonymous structures, and qualifiers, may be nested.
const DEPTH_MAX: u32 = 8;

/// The types of a kernel.
pub(super) struct Types<'a> {
    /// Names, each ended by a NUL.
    strings: &'a [u8],
    bytes: &'a [u8],
    /// Where each type begins, by its id.
    starts: Vec<usize>,
    /// Type id by name, of those that were asked for.
    ids: HashMap<&'a str, u32>,
    /// Ids of the functions that were asked for.
    functions: Vec<(&'static str, u32)>,
}

/// One type.
struct Type<'a> {
    kind: u32,
    with_bitfields: bool,
    /// Its size, or the type that it refers to.
    of: u32,
    /// What follows it: members, parameters.
    behind: &'a [u8],
}

impl<'a> Types<'a> {
    /// Looks for these structures, unions and typedefs, and for these functions.
    ///
    /// # Errors
    ///
    /// The bytes are not BTF of this machine's byte order, or are cut short.
    pub(super) fn parse(
        bytes: &'a [u8],
        names: &[&'a str],
        functions: &[&'static str],
    ) -> Result<Self> {
        ensure!(
            bytes.get(..2) == Some(MAGIC.to_ne_bytes().as_slice()),
            "no BTF of this machine's byte order"
        );
        let header = usize::try_from(word(bytes, 4)?)?;
        let section = |offset, length| -> Result<&'a [u8]> {
            let start = header + usize::try_from(word(bytes, offset)?)?;
            let length = usize::try_from(word(bytes, length)?)?;
            bytes.get(start..start + length).context("it is cut short")
        };
        let types = section(8, 12)?;
        let strings = section(16, 20)?;

        // Id 0 is void.
        let mut starts = vec![types.len()];
        let mut ids = HashMap::new();
        let mut found = Vec::new();
        let mut at = 0;
        while at < types.len() {
            let id = u32::try_from(starts.len())?;
            starts.push(at);
            let name = word(types, at)?;
            let (kind, length) = extent(types, at)?;
            if matches!(kind, KIND_STRUCT | KIND_UNION | KIND_TYPEDEF)
                && let Some(wanted) = names.iter().find(|wanted| is(strings, name, wanted))
            {
                // Of two of one name, the first: a later one is a driver's own.
                ids.entry(*wanted).or_insert(id);
            }
            if kind == KIND_FUNC
                && let Some(function) = functions.iter().find(|wanted| is(strings, name, wanted))
            {
                found.push((*function, id));
            }
            at += length;
        }
        ensure!(at == types.len(), "it is cut short");
        Ok(Self {
            strings,
            bytes: types,
            starts,
            ids,
            functions: found,
        })
    }

    fn get(&self, id: u32) -> Option<Type<'a>> {
        let at = *self.starts.get(usize::try_from(id).ok()?)?;
        let (kind, length) = extent(self.bytes, at).ok()?;
        Some(Type {
            kind,
            with_bitfields: word(self.bytes, at + 4).ok()? >> 31 == 1,
            of: word(self.bytes, at + 8).ok()?,
            behind: self.bytes.get(at + TYPE_LENGTH..at + length)?,
        })
    }

    /// The id of a type that was asked for.
    pub(super) fn id(&self, name: &str) -> Option<u32> {
        self.ids.get(name).copied()
    }

    /// The functions that were asked for and are there, with the ids of their types.
    pub(super) fn functions(&self) -> &[(&'static str, u32)] {
        &self.functions
    }

    /// Types of the parameters of a function, of which there is a typedef of a pointer to it.
    pub(super) fn parameters(&self, typedef: &str) -> Option<Vec<u32>> {
        let pointer = self.get(self.id(typedef)?)?.of;
        let function = self.get(self.pointee(pointer)?)?;
        (function.kind == KIND_FUNC_PROTO).then(|| {
            let parameters = function.behind.as_chunks::<PARAMETER_LENGTH>().0;
            parameters
                .iter()
                .filter_map(|parameter| word(parameter, 4).ok())
                .collect()
        })
    }

    /// What a pointer points to, without qualifiers.
    pub(super) fn pointee(&self, pointer: u32) -> Option<u32> {
        let pointer = self.get(pointer)?;
        if pointer.kind != KIND_PTR {
            return None;
        }
        let mut id = pointer.of;
        for _ in 0..DEPTH_MAX {
            match self.get(id) {
                Some(qualified) if matches!(qualified.kind, KIND_CONST | KIND_VOLATILE) => {
                    id = qualified.of;
                }
                _ => break,
            }
        }
        Some(id)
    }

    /// Offset of a field in bytes, also of one in an anonymous structure or union.
    pub(super) fn offset(&self, structure: &str, field: &str) -> Option<u32> {
        self.find(self.id(structure)?, field, DEPTH_MAX)
    }

    fn find(&self, id: u32, field: &str, depth: u32) -> Option<u32> {
        let structure = self.get(id)?;
        if !matches!(structure.kind, KIND_STRUCT | KIND_UNION) {
            return None;
        }
        structure
            .behind
            .as_chunks::<MEMBER_LENGTH>()
            .0
            .iter()
            .find_map(|member| {
                let name = word(member, 0).ok()?;
                let kind = word(member, 4).ok()?;
                let bits = word(member, 8).ok()?;
                let bits = if structure.with_bitfields {
                    bits & 0x00ff_ffff
                } else {
                    bits
                };
                let offset = bits / 8;
                if is(self.strings, name, field) {
                    return bits.is_multiple_of(8).then_some(offset);
                }
                if name == 0 && depth > 0 {
                    return Some(offset + self.find(kind, field, depth - 1)?);
                }
                None
            })
    }
}

/// BTF in which these functions have these ids, and every other type is blank. Of the kernel's whole BTF,
/// aya would make a model of 20 MB, only to look up an id.
///
/// # Errors
///
/// There are more types than BTF can number.
pub(super) fn of_functions(functions: &[(&str, u32)]) -> Result<Vec<u8>> {
    let mut functions = functions.to_vec();
    functions.sort_unstable_by_key(|&(_, id)| id);
    let mut strings = vec![0];
    let mut types = Vec::new();
    for (name, id) in functions {
        let start = usize::try_from(id)?.saturating_sub(1) * TYPE_LENGTH;
        while types.len() < start {
            types.extend(blank(0, KIND_FWD));
        }
        types.extend(blank(u32::try_from(strings.len())?, KIND_FUNC));
        strings.extend(name.bytes().chain([0]));
    }
    let mut bytes = MAGIC.to_ne_bytes().to_vec();
    // Version and flags.
    bytes.extend([1, 0]);
    let length = u32::try_from(types.len())?;
    for number in [
        HEADER_LENGTH,
        0,
        length,
        length,
        u32::try_from(strings.len())?,
    ] {
        bytes.extend(number.to_ne_bytes());
    }
    bytes.extend(types);
    bytes.extend(strings);
    Ok(bytes)
}

/// A type of which nothing is known but its name.
fn blank(name: u32, kind: u32) -> impl Iterator<Item = u8> {
    [name, kind << 24, 0].into_iter().flat_map(u32::to_ne_bytes)
}

/// Kind of the type that begins here, and its length in bytes.
fn extent(types: &[u8], at: usize) -> Result<(u32, usize)> {
    let info = word(types, at + 4)?;
    let count = usize::try_from(info & 0xffff)?;
    let kind = info >> 24 & 0x1f;
    let behind = match kind {
        KIND_INT | KIND_VAR | KIND_DECL_TAG => 4,
        KIND_ARRAY => 12,
        KIND_STRUCT | KIND_UNION => count * MEMBER_LENGTH,
        KIND_ENUM | KIND_FUNC_PROTO => count * 8,
        KIND_DATASEC | KIND_ENUM64 => count * 12,
        KIND_PTR | 7..=12 | 16 | 18 => 0,
        unknown => bail!("kind {unknown} of a type is unknown"),
    };
    Ok((kind, TYPE_LENGTH + behind))
}

/// Whether the string at this offset is this one.
fn is(strings: &[u8], offset: u32, wanted: &str) -> bool {
    usize::try_from(offset)
        .ok()
        .and_then(|offset| strings.get(offset..))
        .and_then(|rest| rest.strip_prefix(wanted.as_bytes()))
        .is_some_and(|rest| rest.first() == Some(&0))
}

fn word(bytes: &[u8], offset: usize) -> Result<u32> {
    let word = bytes.get(offset..).and_then(<[u8]>::first_chunk);
    Ok(u32::from_ne_bytes(*word.context("it is cut short")?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
mod tests {
    use super::*;

    /// `struct outer { int a; struct { union { char b; int c; }; int d; }; }`, with `c` and `d` 4
    /// and 8 bytes in.
    fn sample() -> Vec<u8> {
        let strings = b"\0outer\0a\0b\0c\0d\0";
        let int = [0, KIND_INT << 24, 4, 32];
        let union = [0, KIND_UNION << 24 | 2, 4, 9, 1, 0, 11, 1, 0];
        let inner = [0, KIND_STRUCT << 24 | 2, 8, 0, 2, 0, 13, 1, 32];
        let outer = [1, KIND_STRUCT << 24 | 2, 12, 7, 1, 0, 0, 3, 32];
        let types: Vec<u32> = [&int[..], &union, &inner, &outer].concat();
        let length = u32::try_from(types.len() * 4).unwrap();
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for number in [24, 0, length, length, u32::try_from(strings.len()).unwrap()] {
            bytes.extend(number.to_ne_bytes());
        }
        bytes.extend(types.iter().flat_map(|word| word.to_ne_bytes()));
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn fields_are_found_in_anonymous_members() {
        let bytes = sample();
        let btf = Types::parse(&bytes, &["outer"], &[]).unwrap();
        for (field, offset) in [
            ("a", Some(0)),
            ("b", Some(4)),
            ("c", Some(4)),
            ("d", Some(8)),
            ("e", None),
        ] {
            assert_eq!(btf.offset("outer", field), offset, "{field}");
        }
        assert_eq!(btf.offset("inner", "d"), None);
    }

    #[test]
    fn whatever_is_cut_short_is_an_error() {
        let bytes = sample();
        for length in 0..bytes.len() {
            assert!(
                Types::parse(bytes.split_at(length).0, &["outer"], &[]).is_err(),
                "{length}"
            );
        }
    }

    #[test]
    fn functions_keep_their_ids() {
        let functions = [("third", 1000), ("first", 1), ("second", 2)];
        let bytes = of_functions(&functions).unwrap();
        let names = functions.map(|(name, _)| name);
        let types = Types::parse(&bytes, &[], &names).unwrap();
        assert_eq!(
            types.functions,
            [("first", 1), ("second", 2), ("third", 1000)]
        );
    }
}
