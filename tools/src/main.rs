//! `scapkit`: record, read, convert and check `.scap` captures.
//!
//! One file per command under `commands`; what a library user would want lives in the crates.

mod cli;
mod commands;
mod open;
mod output;
mod pattern;
mod printer;
mod progress;
mod selection;
mod time;

use clap::Parser;
use cli::{Cli, Command};
use scapkit_format::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a command found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Done.
    Yes,
    /// Done, and the answer is no.
    No,
    /// The exit status of a command that was run.
    Status(u8),
}

fn main() -> ExitCode {
    // A file size limit is then an error of the write, which says what is safe, not the end of the
    // program. Without the handler the limit is obeyed too.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are success; a closed pipe under them too.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    let common = &cli.common;
    let result = match &cli.command {
        Command::Info(args) => commands::info::run(args, common),
        Command::Read(args) => commands::read::run(args, common),
        Command::Replay(args) => commands::replay::run(args, common),
        Command::Convert(args) => commands::convert::run(args, common),
        Command::Verify(args) => commands::verify::run(args, common),
        Command::Record(args) => commands::record::run(args, common),
        Command::Live(args) => commands::live::run(args, common),
        Command::Open(args) => commands::open::run(args),
        Command::Gvisor(args) => commands::gvisor::run(args),
        Command::Fields(args) => commands::fields::run(args),
        Command::Events(args) => commands::events::run(args),
        Command::Completions(args) => commands::completions::run(args),
        Command::Man(args) => commands::man::run(args),
    };
    match result {
        Ok(Outcome::Yes) => ExitCode::SUCCESS,
        Ok(Outcome::No) => ExitCode::from(1),
        Ok(Outcome::Status(status)) => ExitCode::from(status),
        Err(e) if is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            say(&e);
            let damage = e.downcast_ref::<Error>().is_some_and(|e| matches!(e, Error::Strict { .. }));
            ExitCode::from(if damage { 1 } else { 2 })
        }
    }
}

/// A reader of our output that went away wanted no more: success.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let direct = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let output = match cause.downcast_ref::<Error>() {
            Some(Error::Output { source, .. }) => Some(source.kind()),
            _ => None,
        };
        [direct, output].contains(&Some(io::ErrorKind::BrokenPipe))
    })
}

/// Says on standard error why something could not be done.
pub(crate) fn say(error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some messages hold their cause already.
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    note(&text);
}

/// Says something on standard error. A terminal that is gone is no reason to stop.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "scapkit: {}", printable(text));
}

/// A message with what could steer a terminal written out: file names and capture contents are not
/// ours.
pub(crate) fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        if c.is_control() && c != '\n' && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
        out
    })
}
