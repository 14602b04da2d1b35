//! The plain byte stream: every kind of source, every kind of container, whole and damaged.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation
)]

mod damage;
mod follow;
mod limits;
mod make;
mod real;
mod whole;
