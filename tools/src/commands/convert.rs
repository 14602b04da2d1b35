//! `scapkit convert IN OUT`.

use crate::cli::{Common, Compress, Convert, ProfileName};
use crate::progress::Progress;
use crate::{Outcome, open, printable};
use anyhow::{Result, bail};
use scapkit_format::profile::{Profile, ProfileWriter, Report};
use scapkit_format::write::{ChunkWriter, Trailer, WriteOptions};
use scapkit_format::{Compression, Content, Item};
use scapkit_replay::upgrade::{Upgraded, Upgrader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub fn run(args: &Convert, common: &Common) -> Result<Outcome> {
    if same_file(&args.input, &args.output) {
        bail!("{}: input and output are the same file", args.output.display());
    }
    let profile = match args.profile {
        ProfileName::Asis => Profile::AsIs,
        ProfileName::Modern => Profile::Modern,
        ProfileName::Universal => Profile::Universal,
    };
    let mut capture = open::capture(&args.input, common)?;
    let compression = capture.detect()?;
    // The first item tells whether there is a capture at all: before that, no output is touched.
    let mut output = Output::Waiting { args, common, profile };
    let mut upgrader = Upgrader::default();
    let mut progress = Progress::new(args.output == Path::new("-"));
    let modern = profile == Profile::Modern;
    let (mut blocks, mut folded) = (0u64, 0u64);
    loop {
        if blocks % 4096 == 0 {
            progress.update(&capture);
        }
        blocks += 1;
        let Some(item) = capture.next()? else { break };
        let writer = output.writer(compression)?;
        match item {
            Item::Skipped { bytes, .. } => writer.skipped(bytes)?,
            // Events newer than the tables are kept as they are, by the last arm.
            Item::Block(_, Content::Event(event)) if modern && event.info().is_some() => match upgrader.apply(&event) {
                Upgraded::Event(current) => writer.event(&current, None)?,
                Upgraded::Dropped => folded += 1,
            },
            Item::Block(block, content) => {
                if let Content::Section(_) = content {
                    upgrader.clear();
                }
                writer.block(&block, &content)?;
            }
        }
    }
    progress.finish();
    if let Output::Open(writer) = output {
        let (chunks, report) = writer.finish()?;
        chunks.finish(Trailer::None)?;
        say(&report, folded, capture.name(), profile);
    }
    open::report_damage(&capture);
    Ok(Outcome::Yes)
}

/// The output, opened when the first item has come.
enum Output<'a> {
    Waiting { args: &'a Convert, common: &'a Common, profile: Profile },
    Open(Box<ProfileWriter>),
}

impl Output<'_> {
    fn writer(&mut self, input: Compression) -> Result<&mut ProfileWriter> {
        if let Output::Waiting { args, common, profile } = self {
            let chunks = create(args, common, input)?;
            *self = Output::Open(Box::new(ProfileWriter::new(chunks, *profile)));
        }
        match self {
            Output::Open(writer) => Ok(writer),
            Output::Waiting { .. } => bail!("the output was not opened"),
        }
    }
}

fn create(args: &Convert, common: &Common, input: Compression) -> Result<ChunkWriter> {
    let suffix = args.output.extension().and_then(|e| e.to_str());
    let compression = match (args.compress, suffix) {
        (Some(Compress::None), _) => Compression::None,
        (Some(Compress::Gzip), _) | (None, Some("gz")) => Compression::Gzip,
        (Some(Compress::Zstd), _) | (None, Some("zst")) => Compression::Zstd,
        (None, _) => input,
    };
    let mut options = WriteOptions { compression, level: args.level, ..WriteOptions::default() };
    if let Some(threads) = common.threads {
        options.threads = threads;
    }
    let writer = if args.output == Path::new("-") {
        ChunkWriter::from_writer(Box::new(std::io::stdout()), "standard output", &options)?
    } else {
        ChunkWriter::create(&args.output, &options)?
    };
    Ok(writer)
}

/// Whether two names mean one file, links included: creating the output would destroy the input.
fn same_file(a: &Path, b: &Path) -> bool {
    let id = |p: &Path| std::fs::metadata(p).ok().filter(std::fs::Metadata::is_file).map(|m| (m.dev(), m.ino()));
    let stdin = Path::new("-");
    a != stdin && b != stdin && id(a).is_some_and(|x| Some(x) == id(b))
}

fn say(report: &Report, folded: u64, name: &str, profile: Profile) {
    if profile == Profile::AsIs {
        return;
    }
    let name = printable(name);
    for sentence in report.sentences() {
        eprintln!("scapkit: {name}: note: {sentence}");
    }
    if folded > 0 {
        eprintln!("scapkit: {name}: note: {folded} events folded into others or of no use in today's schema");
    }
    let read = report.events_read + folded;
    eprintln!("scapkit: {name}: {read} events read, {} written", report.events_written);
}
