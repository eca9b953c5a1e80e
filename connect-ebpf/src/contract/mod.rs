//! One file per thing that crosses.

pub mod attempt;
pub mod code;
pub mod counter;
pub mod family;
pub mod histogram;
pub mod loss;
pub mod record;
pub mod series;
pub mod settings;
pub mod uapi;
