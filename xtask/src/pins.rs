//! The versions of everything that builds the project, in one place. `connect-user/build.rs`
//! includes this file.

/// Compiler of the agent and its tests: what aya 0.16 needs.
#[allow(dead_code, reason = "the build script uses only NIGHTLY")]
pub const STABLE: &str = "1.98.0";

/// Compiler of the kernel object, for `-Z build-std`; carries LLVM 23.
pub const NIGHTLY: &str = "nightly-2026-09-01";

/// bpf-linker, which must be built against the LLVM of [`NIGHTLY`].
#[allow(dead_code, reason = "the build script uses only NIGHTLY")]
pub const BPF_LINKER: &str = "0.13.0";
