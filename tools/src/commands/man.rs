//! `scapkit man [COMMAND]`.

use crate::Outcome;
use crate::cli::{Cli, Man};
use anyhow::{Context, Result};
use clap::CommandFactory;

pub fn run(args: &Man) -> Result<Outcome> {
    let mut root = Cli::command();
    root.build();
    let page = match &args.command {
        None => root,
        Some(name) => {
            let command = root.find_subcommand(name).with_context(|| format!("no command {name:?}"))?;
            command.clone()
        }
    };
    clap_mangen::Man::new(page).render(&mut std::io::stdout())?;
    Ok(Outcome::Yes)
}
