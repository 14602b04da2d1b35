//! `scapkit completions SHELL`.

use crate::Outcome;
use crate::cli::{Cli, Completions};
use anyhow::Result;
use clap::CommandFactory;
use std::io::Write;

pub fn run(args: &Completions) -> Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "scapkit", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Outcome::Yes)
}
