//! Builds the kernel object, which `attach/object.rs` embeds.

use anyhow::Result;
use aya_build::{Package, Toolchain, build_ebpf};

/// One place names the compilers: xtask, which installs them.
#[path = "../xtask/src/pins.rs"]
mod pins;

fn main() -> Result<()> {
    build_ebpf(
        [Package {
            name: "connect-ebpf",
            root_dir: "../connect-ebpf",
            no_default_features: true,
            features: &["kernel"],
        }],
        Toolchain::Custom(pins::NIGHTLY),
    )
}
