//! Raw system calls: the event of a call's number, and its parameters from six registers.

/// The processor of a sandbox, which decides the numbers of system calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Arch {
    #[default]
    X86_64,
    Aarch64,
}
