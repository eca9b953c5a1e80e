//! Error numbers of the kernel, and their names.

use std::{borrow::Cow, io};

/// Every errno of the kernel, by number.
///
/// Source: `include/uapi/asm-generic/errno-base.h` and `errno.h` (which `x86_64` and `aarch64`
/// use), and from 512 on `include/linux/errno.h`: those never reach an application, but a system
/// call that a signal interrupts returns them inside the kernel. Of two names for one number it is
/// the first the kernel defines: `EAGAIN`, not `EWOULDBLOCK`.
pub const ERRNOS: &[(u32, &str)] = &[
    (1, "EPERM"),
    (2, "ENOENT"),
    (3, "ESRCH"),
    (4, "EINTR"),
    (5, "EIO"),
    (6, "ENXIO"),
    (7, "E2BIG"),
    (8, "ENOEXEC"),
    (9, "EBADF"),
    (10, "ECHILD"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (14, "EFAULT"),
    (15, "ENOTBLK"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (18, "EXDEV"),
    (19, "ENODEV"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (22, "EINVAL"),
    (23, "ENFILE"),
    (24, "EMFILE"),
    (25, "ENOTTY"),
    (26, "ETXTBSY"),
    (27, "EFBIG"),
    (28, "ENOSPC"),
    (29, "ESPIPE"),
    (30, "EROFS"),
    (31, "EMLINK"),
    (32, "EPIPE"),
    (33, "EDOM"),
    (34, "ERANGE"),
    (35, "EDEADLK"),
    (36, "ENAMETOOLONG"),
    (37, "ENOLCK"),
    (38, "ENOSYS"),
    (39, "ENOTEMPTY"),
    (40, "ELOOP"),
    (42, "ENOMSG"),
    (43, "EIDRM"),
    (44, "ECHRNG"),
    (45, "EL2NSYNC"),
    (46, "EL3HLT"),
    (47, "EL3RST"),
    (48, "ELNRNG"),
    (49, "EUNATCH"),
    (50, "ENOCSI"),
    (51, "EL2HLT"),
    (52, "EBADE"),
    (53, "EBADR"),
    (54, "EXFULL"),
    (55, "ENOANO"),
    (56, "EBADRQC"),
    (57, "EBADSLT"),
    (59, "EBFONT"),
    (60, "ENOSTR"),
    (61, "ENODATA"),
    (62, "ETIME"),
    (63, "ENOSR"),
    (64, "ENONET"),
    (65, "ENOPKG"),
    (66, "EREMOTE"),
    (67, "ENOLINK"),
    (68, "EADV"),
    (69, "ESRMNT"),
    (70, "ECOMM"),
    (71, "EPROTO"),
    (72, "EMULTIHOP"),
    (73, "EDOTDOT"),
    (74, "EBADMSG"),
    (75, "EOVERFLOW"),
    (76, "ENOTUNIQ"),
    (77, "EBADFD"),
    (78, "EREMCHG"),
    (79, "ELIBACC"),
    (80, "ELIBBAD"),
    (81, "ELIBSCN"),
    (82, "ELIBMAX"),
    (83, "ELIBEXEC"),
    (84, "EILSEQ"),
    (85, "ERESTART"),
    (86, "ESTRPIPE"),
    (87, "EUSERS"),
    (88, "ENOTSOCK"),
    (89, "EDESTADDRREQ"),
    (90, "EMSGSIZE"),
    (91, "EPROTOTYPE"),
    (92, "ENOPROTOOPT"),
    (93, "EPROTONOSUPPORT"),
    (94, "ESOCKTNOSUPPORT"),
    (95, "EOPNOTSUPP"),
    (96, "EPFNOSUPPORT"),
    (97, "EAFNOSUPPORT"),
    (98, "EADDRINUSE"),
    (99, "EADDRNOTAVAIL"),
    (100, "ENETDOWN"),
    (101, "ENETUNREACH"),
    (102, "ENETRESET"),
    (103, "ECONNABORTED"),
    (104, "ECONNRESET"),
    (105, "ENOBUFS"),
    (106, "EISCONN"),
    (107, "ENOTCONN"),
    (108, "ESHUTDOWN"),
    (109, "ETOOMANYREFS"),
    (110, "ETIMEDOUT"),
    (111, "ECONNREFUSED"),
    (112, "EHOSTDOWN"),
    (113, "EHOSTUNREACH"),
    (114, "EALREADY"),
    (115, "EINPROGRESS"),
    (116, "ESTALE"),
    (117, "EUCLEAN"),
    (118, "ENOTNAM"),
    (119, "ENAVAIL"),
    (120, "EISNAM"),
    (121, "EREMOTEIO"),
    (122, "EDQUOT"),
    (123, "ENOMEDIUM"),
    (124, "EMEDIUMTYPE"),
    (125, "ECANCELED"),
    (126, "ENOKEY"),
    (127, "EKEYEXPIRED"),
    (128, "EKEYREVOKED"),
    (129, "EKEYREJECTED"),
    (130, "EOWNERDEAD"),
    (131, "ENOTRECOVERABLE"),
    (132, "ERFKILL"),
    (133, "EHWPOISON"),
    (134, "EFTYPE"),
    (512, "ERESTARTSYS"),
    (513, "ERESTARTNOINTR"),
    (514, "ERESTARTNOHAND"),
    (515, "ENOIOCTLCMD"),
    (516, "ERESTART_RESTARTBLOCK"),
    (517, "EPROBE_DEFER"),
    (518, "EOPENSTALE"),
    (519, "ENOPARAM"),
    (521, "EBADHANDLE"),
    (522, "ENOTSYNC"),
    (523, "EBADCOOKIE"),
    (524, "ENOTSUPP"),
    (525, "ETOOSMALL"),
    (526, "ESERVERFAULT"),
    (527, "EBADTYPE"),
    (528, "EJUKEBOX"),
    (529, "EIOCBQUEUED"),
    (530, "ERECALLCONFLICT"),
    (531, "ENOGRACE"),
];

/// The name of an errno; `None` when the kernel has none, so also for 0.
#[must_use]
pub fn name(errno: u32) -> Option<&'static str> {
    let found = ERRNOS.binary_search_by_key(&errno, |&(number, _)| number);
    ERRNOS.get(found.ok()?).map(|&(_, name)| name)
}

/// The name of an errno, or the number as text where it has none.
#[must_use]
pub fn label(errno: u32) -> Cow<'static, str> {
    name(errno).map_or_else(|| errno.to_string().into(), Cow::Borrowed)
}

/// The errno in the return value of a system call; 0 when it is not an error.
///
/// Errors are -1 to -4095 (`MAX_ERRNO` in the kernel's `include/linux/err.h`). Any other value is
/// a success, even a strange one: a seccomp notifier can make a call return whatever it likes.
#[must_use]
pub fn of_return(ret: i64) -> u32 {
    match ret {
        -4095..=-1 => u32::try_from(-ret).unwrap_or(0),
        _ => 0,
    }
}

/// An error as a person reads it: without the number, which its text stands for.
#[must_use]
pub(crate) fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(number) => text
            .strip_suffix(&format!(" (os error {number})"))
            .map_or_else(|| text.clone(), str::to_owned),
        None => text,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]
mod tests {
    use super::*;

    /// First errno that only the kernel itself uses.
    const KERNEL_ONLY: u32 = 512;

    #[test]
    fn numbers_ascend() {
        assert!(ERRNOS.is_sorted_by(|(one, _), (next, _)| one < next));
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = ERRNOS.iter().map(|(_, name)| name).collect();
        names.sort_unstable();
        assert!(names.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn numbers_are_those_of_libc() {
        macro_rules! libc_errnos {
            ($($name:ident)*) => { [$((libc::$name, stringify!($name))),*] };
        }
        let known = libc_errnos![
            EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES
            EFAULT ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY
            ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG
            ENOLCK ENOSYS ENOTEMPTY ELOOP ENOMSG EIDRM ECHRNG EL2NSYNC EL3HLT EL3RST ELNRNG
            EUNATCH ENOCSI EL2HLT EBADE EBADR EXFULL ENOANO EBADRQC EBADSLT EBFONT ENOSTR
            ENODATA ETIME ENOSR ENONET ENOPKG EREMOTE ENOLINK EADV ESRMNT ECOMM EPROTO
            EMULTIHOP EDOTDOT EBADMSG EOVERFLOW ENOTUNIQ EBADFD EREMCHG ELIBACC ELIBBAD ELIBSCN
            ELIBMAX ELIBEXEC EILSEQ ERESTART ESTRPIPE EUSERS ENOTSOCK EDESTADDRREQ EMSGSIZE
            EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP EPFNOSUPPORT
            EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED
            ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED
            EHOSTDOWN EHOSTUNREACH EALREADY EINPROGRESS ESTALE EUCLEAN ENOTNAM ENAVAIL EISNAM
            EREMOTEIO EDQUOT ENOMEDIUM EMEDIUMTYPE ECANCELED ENOKEY EKEYEXPIRED EKEYREVOKED
            EKEYREJECTED EOWNERDEAD ENOTRECOVERABLE ERFKILL EHWPOISON
        ];
        for (number, expected) in known {
            assert_eq!(name(u32::try_from(number).unwrap()), Some(expected));
        }
        // libc has all but EFTYPE, which is younger.
        let visible = ERRNOS.iter().filter(|&&(number, _)| number < KERNEL_ONLY);
        assert_eq!(visible.count(), known.len() + 1);
    }

    #[test]
    fn names() {
        for (errno, expected) in [
            (0, None),
            (4, Some("EINTR")),
            (11, Some("EAGAIN")),
            (35, Some("EDEADLK")),
            (41, None),
            (58, None),
            (95, Some("EOPNOTSUPP")),
            (111, Some("ECONNREFUSED")),
            (134, Some("EFTYPE")),
            (135, None),
            (511, None),
            (512, Some("ERESTARTSYS")),
            (520, None),
            (524, Some("ENOTSUPP")),
            (531, Some("ENOGRACE")),
            (532, None),
            (u32::MAX, None),
        ] {
            assert_eq!(name(errno), expected, "{errno}");
        }
    }

    #[test]
    fn labels() {
        assert_eq!(label(115), "EINPROGRESS");
        assert_eq!(label(0), "0");
        assert_eq!(label(4095), "4095");
    }

    #[test]
    fn return_values() {
        for (ret, errno) in [
            (0, 0),
            (1, 0),
            (-1, 1),
            (-115, 115),
            (-512, 512),
            (-4095, 4095),
            (-4096, 0),
            (i64::from(i32::MIN), 0),
            (i64::MIN, 0),
            (i64::MAX, 0),
        ] {
            assert_eq!(of_return(ret), errno, "{ret}");
        }
    }

    #[test]
    fn words_have_no_number() {
        let denied = io::Error::from_raw_os_error(libc::EPERM);
        assert_eq!(in_words(&denied), "Operation not permitted");
        assert_eq!(
            in_words(&io::Error::other("a (os error 1)")),
            "a (os error 1)"
        );
    }
}
