//! The form of what there is to say.

/// What there is to say of one errno, or of one outcome.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its name; of an errno, [`crate::errno::ERRNOS`] has the number.
    pub(super) name: &'static str,
    /// What it means when connect returns it: the rest of a line that begins with the name.
    pub(super) meaning: &'static str,
    /// The likeliest cause or the next thing to look at, in one line: see [`crate::explain::hint`].
    pub(super) hint: &'static str,
    /// Kind of socket, and how it comes about there.
    pub(super) situations: &'static [(&'static str, &'static str)],
    /// What is wrong on a real host, most likely first.
    pub(super) causes: &'static [&'static str],
    /// A command (or another place to look), and what it shows. Words in capitals are to be
    /// replaced.
    pub(super) look_at: &'static [(&'static str, &'static str)],
}
