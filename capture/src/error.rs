//! What can go wrong in a recorder.

use std::io;

/// Result with [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in a recorder. Each variant names what was being done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call or a file of the system.
    #[error("{what}: {source}")]
    System {
        /// What was being done, with the file or call.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The kernel lacks something that the recorder cannot do without.
    #[error("this kernel cannot be recorded: {0}")]
    Kernel(String),
    /// A capability is missing.
    #[error("{what} needs {capability}; run as root, or give the program that capability")]
    Privilege {
        /// What was being done.
        what: String,
        /// Name of the capability, `CAP_BPF` for instance.
        capability: &'static str,
    },
    /// The probe could not be loaded or attached.
    #[error("probe: {0}")]
    Probe(String),
    /// A program that was run failed, or said what cannot be understood.
    #[error("{command}: {why}")]
    Command {
        /// The program with its arguments.
        command: String,
        /// How it ended, and what it said.
        why: String,
    },
    /// An option is wrong.
    #[error("{0}")]
    Option(String),
    /// Reading or writing a capture.
    #[error(transparent)]
    Format(#[from] scapkit_format::Error),
}

impl Error {
    /// An error of the system while doing `what`.
    pub fn system(what: impl Into<String>, source: io::Error) -> Self {
        Error::System { what: what.into(), source }
    }
}
