//! The parts of the workload test.

pub mod check;
pub mod child;
pub mod coverage;
pub mod ctx;
pub mod harness;
pub mod judge;
pub mod record;
pub mod report;
pub mod rows;
pub mod storm;
pub mod strace;
pub mod sys;
