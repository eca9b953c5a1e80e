//! One thing that the tool needs of its machine, and how it stands.

/// How a requirement stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Met.
    Ok,
    /// Not met, but only something optional needs it.
    Limited,
    /// It cannot be seen from here.
    Unknown,
    /// Not met, so nothing can be observed.
    Missing,
}

impl Verdict {
    /// As `check` prints it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Unknown => "unknown",
            Self::Missing => "MISSING",
        }
    }
}

/// One thing that the tool needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// What.
    pub name: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    pub mend: Option<String>,
}

impl Requirement {
    /// It is met.
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Ok,
            detail: detail.into(),
            mend: None,
        }
    }

    /// It is not met, and this is what to do.
    pub fn of(
        verdict: Verdict,
        name: &'static str,
        detail: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self {
            name,
            verdict,
            detail: detail.into(),
            mend: Some(mend.into()),
        }
    }

    /// Without it, there is less to see.
    pub fn limited(name: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::of(Verdict::Limited, name, detail, mend)
    }

    /// Nobody can tell.
    pub fn unknown(name: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::of(Verdict::Unknown, name, detail, mend)
    }

    /// Without it, nothing goes.
    pub fn missing(name: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self::of(Verdict::Missing, name, detail, mend)
    }

    /// All of it in one line.
    #[must_use]
    pub fn one_line(&self) -> String {
        let Self {
            name, detail, mend, ..
        } = self;
        match mend {
            Some(mend) => format!("{name}: {detail}; {mend}"),
            None => format!("{name}: {detail}"),
        }
    }
}
