//! Containers: engines that answer what real ones did, real ones, and what replay makes of it.

mod containers {
    pub mod fake;
    mod real;
    mod recorded;
    pub mod replayed;
}
