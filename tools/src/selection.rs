//! What stands behind a command: files, then a filter as trailing words.

use anyhow::{Result, anyhow, bail};
use scapkit_replay::Filter;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Files and the filter for their events.
#[derive(Debug)]
pub struct Selection {
    /// At least one.
    pub files: Vec<PathBuf>,
    /// None: all events.
    pub filter: Option<Filter>,
}

/// Takes words apart: the first is a file, so are those after it that are files (or `-`); the filter
/// begins with the first that is none.
pub fn split(words: &[OsString]) -> Result<Selection> {
    let is_file = |word: &OsString| word == "-" || Path::new(word).exists();
    let rest = words.iter().skip(1).take_while(|w| is_file(w)).count() + 1;
    let (files, filter) = words.split_at(rest.min(words.len()));
    let files = files.iter().map(PathBuf::from).collect();
    if filter.is_empty() {
        return Ok(Selection { files, filter: None });
    }
    let filter: Option<Vec<&str>> = filter.iter().map(|w| w.to_str()).collect();
    let Some(filter) = filter else { bail!("the filter is not UTF-8") };
    let text = filter.join(" ");
    match Filter::compile(&text) {
        Ok(filter) => Ok(Selection { files, filter: Some(filter) }),
        Err(error) => {
            let first = filter[0];
            // Perhaps it was meant to be a file.
            let looks_like_file = filter.len() == 1 && !text.contains(['=', ' ', '(']) && first.contains(['/', '.']);
            let hint = if looks_like_file {
                format!("\n  ({first} is no file, so it was taken for a filter)")
            } else {
                String::new()
            };
            Err(anyhow!("{}{hint}", error.shown(&text)))
        }
    }
}

/// A filter of words, none for no words.
pub fn filter(words: &[String]) -> Result<Option<Filter>> {
    if words.is_empty() {
        return Ok(None);
    }
    let text = words.join(" ");
    Filter::compile(&text).map(Some).map_err(|error| anyhow!("{}", error.shown(&text)))
}
