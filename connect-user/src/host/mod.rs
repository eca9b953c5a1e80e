//! What is read from the running machine: a file for each place that is read.
//!
//! Nothing here knows what it is read for, and nothing is changed, but that [`tracefs`] mounts itself where
//! it has to be.

pub mod btf;
pub mod cgroup;
pub mod kernel;
pub mod layout;
pub mod privilege;
pub mod process;
pub mod program;
pub mod sysfs;
pub mod time_namespace;
pub mod tracefs;
