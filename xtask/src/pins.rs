//! The versions of everything that builds the project, in one place. `connect-user/build.rs`
//! includes this file.

/// Compiler of the agent and its tests: what aya 0.16 needs.
pub(crate) const STABLE: &str = "1.98.0";

/// Compiler of the kernel object, for `-Z build-std`; carries LLVM 23.
pub(crate) const NIGHTLY: &str = "nightly-2026-09-01";

/// bpf-linker, which must be built against the LLVM of [`NIGHTLY`].
pub(crate) const BPF_LINKER: &str = "0.13.0";

/// What `cargo xtask audit` runs.
pub(crate) const CARGO_DENY: &str = "0.20.2";

/// What `cargo xtask fuzz` runs.
pub(crate) const CARGO_FUZZ: &str = "0.13.2";

// The build script uses only one of them, and this counts as a use of each.
const _: [&str; 5] = [STABLE, NIGHTLY, BPF_LINKER, CARGO_DENY, CARGO_FUZZ];
