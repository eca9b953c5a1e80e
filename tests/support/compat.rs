//! System calls of 32-bit programs, made by a 64-bit one.

use std::arch::asm;

use anyhow::Result;

use super::{memory::Pages, sockaddr::Sockaddr};

/// `connect` of the i386 table.
pub(crate) const CONNECT: u32 = 362;
/// `socketcall` of the same, and its `SYS_CONNECT`.
pub(crate) const SOCKETCALL: u32 = 102;
pub(crate) const SYS_CONNECT: u32 = 3;

/// A 32-bit system call; returns the errno.
pub(crate) fn int80(number: u32, [first, second, third]: [u32; 3]) -> i32 {
    let result: i32;
    // SAFETY: the kernel checks every pointer; what it changes is declared, and the register that the
    // compiler keeps for itself is restored.
    unsafe {
        asm!(
            "push rbx",
            "mov ebx, {first:e}",
            "int 0x80",
            "pop rbx",
            first = in(reg) first,
            inlateout("eax") number => result,
            in("ecx") second,
            in("edx") third,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    -result
}

/// How a 32-bit program connects.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Direct,
    Socketcall,
}

impl Way {
    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Direct => CONNECT,
            Self::Socketcall => SOCKETCALL,
        }
    }
}

/// Memory that a 32-bit pointer reaches, for an address and the arguments of `socketcall`.
#[derive(Debug)]
pub(crate) struct Low(Pages);

impl Low {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Pages::low(1)?))
    }

    pub(crate) fn connect(&mut self, way: Way, fd: i32, address: &Sockaddr) -> Result<i32> {
        self.connect_as(way, fd, address, i32::try_from(address.len())?)
    }

    /// With another length than the address has.
    pub(crate) fn connect_as(
        &mut self,
        way: Way,
        fd: i32,
        address: &Sockaddr,
        length: i32,
    ) -> Result<i32> {
        let pointer = u32::try_from(self.0.put(64, address))?;
        let arguments = [fd.cast_unsigned(), pointer, length.cast_unsigned()];
        Ok(match way {
            Way::Direct => int80(CONNECT, arguments),
            Way::Socketcall => {
                let bytes = arguments.map(u32::to_ne_bytes).concat();
                let place = self.0.put_bytes(0, &bytes);
                int80(SOCKETCALL, [SYS_CONNECT, u32::try_from(place)?, 0])
            }
        })
    }
}
