//! A process that connects when it is asked to. Its id is known before, so the agent can be told to
//! look at nothing else, whatever the machine does meanwhile.

use std::{
    io::{PipeReader, PipeWriter, Read as _, Write as _, pipe},
    os::fd::{AsRawFd as _, RawFd},
};

/// The process.
pub(crate) struct Traffic {
    pid: libc::pid_t,
    orders: PipeWriter,
    answers: PipeReader,
}

impl Traffic {
    pub(crate) fn start() -> Self {
        let (their_orders, orders) = pipe().unwrap();
        let (answers, their_answers) = pipe().unwrap();
        // SAFETY: the child makes nothing but system calls, and never returns.
        let pid = unsafe { libc::fork() };
        match pid {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            // SAFETY: this is the child.
            0 => unsafe { obey(their_orders.as_raw_fd(), their_answers.as_raw_fd()) },
            _ => Self {
                pid,
                orders,
                answers,
            },
        }
    }

    /// What makes the agent look at this process only.
    pub(crate) fn filter(&self) -> [String; 2] {
        ["--pid".to_owned(), self.pid.to_string()]
    }

    pub(crate) fn pid(&self) -> i64 {
        self.pid.into()
    }

    /// Connects so many times: UDP, to 127.0.0.1:9, successfully. Returns when the last connect
    /// has returned.
    pub(crate) fn connect(&mut self, times: u32) {
        self.orders.write_all(&times.to_ne_bytes()).unwrap();
        self.answers.read_exact(&mut [0]).unwrap();
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        // SAFETY: the process is our child, and nobody has waited for it, so the id is still its.
        let _killed = unsafe { libc::kill(self.pid, libc::SIGKILL) };
        // SAFETY: a null pointer means that the status is not wanted.
        let _waited = unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
    }
}

/// The life of the child.
///
/// # Safety
///
/// Only right after a fork, in the child.
unsafe fn obey(orders: RawFd, answers: RawFd) -> ! {
    // Not to outlive the test. Whatever else the tests have open, pipes of other tests among it, is
    // closed, or its readers would wait for this process.
    // SAFETY: takes no pointer.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
    }
    // SAFETY: nothing in this process uses descriptor 0.
    unsafe {
        libc::dup2(orders, 0);
    }
    // SAFETY: nor 1.
    unsafe {
        libc::dup2(answers, 1);
    }
    // SAFETY: nor any other.
    unsafe {
        libc::syscall(libc::SYS_close_range, 2, u32::MAX, 0);
    }
    // SAFETY: takes no pointer.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0) };
    let address = libc::sockaddr_in {
        sin_family: 2,
        sin_port: 9_u16.to_be(),
        sin_addr: libc::in_addr {
            s_addr: 0x7f00_0001_u32.to_be(),
        },
        sin_zero: [0; 8],
    };
    loop {
        let mut order = [0; 4];
        // SAFETY: the buffer is four bytes long.
        let got = unsafe { libc::read(0, order.as_mut_ptr().cast(), order.len()) };
        if got != 4 {
            // SAFETY: ends this process.
            unsafe {
                libc::_exit(0);
            }
        }
        for _ in 0..u32::from_ne_bytes(order) {
            // SAFETY: the address is of this size, and lives.
            unsafe {
                libc::connect(socket, (&raw const address).cast(), 16);
            }
        }
        // SAFETY: one byte is there to be written.
        unsafe {
            libc::write(1, order.as_ptr().cast(), 1);
        }
    }
}
