//! `scapkit convert IN OUT`.

use crate::cli::{Common, Convert, ProfileName};
use crate::open::{Opened, Stream};
use crate::progress::Progress;
use crate::{Outcome, open, output, printable};
use anyhow::{Context, Result, bail};
use scapkit_capture::gvisor::reader::AsCapture;
use scapkit_format::profile::{Profile, ProfileWriter, Report};
use scapkit_format::write::{BlockMeta, Trailer};
use scapkit_format::{Compression, Content, Item};
use scapkit_replay::upgrade::{Upgraded, Upgrader};
use std::path::Path;

pub fn run(args: &Convert, common: &Common) -> Result<Outcome> {
    if output::same_file(&args.input, &args.output) {
        bail!("{}: input and output are the same file", args.output.display());
    }
    let profile = match args.profile {
        ProfileName::Asis => Profile::AsIs,
        ProfileName::Modern => Profile::Modern,
        ProfileName::Universal => Profile::Universal,
    };
    let procfs = args.procfs.as_ref().map(|path| std::fs::read(path).with_context(|| path.display().to_string()));
    let (mut capture, stream) = match open::input(&args.input, common, procfs.transpose()?)? {
        Opened::Capture(capture) => (*capture, Stream::none()),
        Opened::Stream(stream, name) if profile == Profile::AsIs => return copy(stream, &name, args, common),
        Opened::Stream(stream, name) => open::of_stream(stream, &name, common)?,
    };
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
    stream.say(capture.name());
    Ok(Outcome::Yes)
}

/// Writes what a stream gives, block by block.
fn copy(mut stream: Box<AsCapture>, name: &str, args: &Convert, common: &Common) -> Result<Outcome> {
    let mut chunks = output::create(&args.output, args.compress, args.level, common, Compression::None)?;
    let mut number = 0;
    while stream.blocks(|block, ts| {
        let meta = match ts {
            Some(ts) => {
                number += 1;
                BlockMeta::Event { number, ts }
            }
            None => BlockMeta::Other,
        };
        chunks.block(block, meta).map_err(anyhow::Error::from)
    })? {}
    chunks.finish(Trailer::None)?;
    Stream::of(stream.report()).say(name);
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
            let chunks = output::create(&args.output, args.compress, args.level, common, input)?;
            *self = Output::Open(Box::new(ProfileWriter::new(chunks, *profile)));
        }
        match self {
            Output::Open(writer) => Ok(writer),
            Output::Waiting { .. } => bail!("the output was not opened"),
        }
    }
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
