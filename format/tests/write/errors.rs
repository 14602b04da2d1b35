//! Outputs that refuse: what the error says, and what is left.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use scapkit_format::write::{Chunk, ChunkWriter, Trailer, WriteOptions};
use scapkit_format::{Compression, Error};

use super::{ALL, Double, blocks, into_double, meta, options, plain, write};

fn output_error(error: &Error) -> (u64, u64, &io::Error) {
    match error {
        Error::Output { safe_bytes, safe_events, source, .. } => (*safe_bytes, *safe_events, source),
        other => panic!("{other}"),
    }
}

#[test]
fn devices_pipes_and_directories() {
    let options = options(Compression::Gzip, 4096, 1);
    let mut writer = ChunkWriter::create(Path::new("/dev/null"), &options).unwrap();
    writer.block(&[1; 12], meta(0)).unwrap();
    assert_eq!(writer.finish(Trailer::None).unwrap().plain_bytes, 12);

    let dir = tempfile::tempdir().unwrap();
    let error = ChunkWriter::create(dir.path(), &options).err().unwrap();
    assert_eq!(output_error(&error).2.kind(), io::ErrorKind::IsADirectory);
    let missing = dir.path().join("no/such");
    let error = ChunkWriter::create(&missing, &options).err().unwrap();
    assert_eq!(output_error(&error).2.kind(), io::ErrorKind::NotFound);

    let fifo = dir.path().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status();
    if !made.is_ok_and(|status| status.success()) {
        std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("SKIPPED: no mkfifo\n")).unwrap();
        return;
    }
    let reader = std::thread::spawn({
        let fifo = fifo.clone();
        move || fs::read(fifo).unwrap()
    });
    let mut writer = ChunkWriter::create(&fifo, &options).unwrap();
    writer.block(&[1; 12], meta(0)).unwrap();
    writer.finish(Trailer::None).unwrap();
    assert_eq!(plain(Compression::Gzip, &reader.join().unwrap()), [1; 12]);
}

#[test]
fn a_full_device_is_an_error_that_says_what_is_safe() {
    for compression in ALL {
        for threads in [0, 2] {
            let options = options(compression, 4096, threads);
            let mut writer = ChunkWriter::create(Path::new("/dev/full"), &options).unwrap();
            let error = blocks(10_000).iter().find_map(|block| writer.block(block, meta(0)).err()).unwrap();
            let (bytes, events, source) = output_error(&error);
            assert_eq!((bytes, events), (0, 0));
            assert_eq!(source.raw_os_error(), Some(28));
            // It stays failed, in every call.
            for again in [
                writer.block(&[1; 12], meta(0)),
                writer.raw(&[1; 12]),
                writer.raw(&[]),
                writer.flush(),
                writer.finish(Trailer::None).map(|_| ()),
            ] {
                let again = again.unwrap_err();
                assert_eq!(output_error(&again).2.kind(), io::ErrorKind::StorageFull);
                assert_eq!(again.to_string(), error.to_string());
            }
        }
    }
}

/// The writer fails after each possible number of bytes, in the index and seek table too.
#[test]
fn what_is_called_safe_is_safe_wherever_writing_fails() {
    let blocks = blocks(60);
    let all = blocks.concat();
    for compression in ALL {
        for threads in [0, 2] {
            let options = options(compression, 1000, threads);
            let trailer = Trailer::Index(vec![5; 40]);
            let (full, table) = write(&blocks, &options, trailer.clone());
            for limit in 0..full.len() {
                let double = Double {
                    limit: Some(limit),
                    kind: Some(io::ErrorKind::BrokenPipe),
                    short: (limit % 2 == 0).then_some(7),
                    interrupt: limit % 3 == 0,
                    ..Double::default()
                };
                let mut writer = into_double(&double, &options);
                let failed =
                    blocks.iter().enumerate().find_map(|(index, block)| writer.block(block, meta(index)).err());
                let error = if let Some(error) = failed {
                    assert!(writer.flush().is_err());
                    error
                } else {
                    writer.finish(trailer.clone()).unwrap_err()
                };
                let (safe, events, source) = output_error(&error);
                assert_eq!(source.kind(), io::ErrorKind::BrokenPipe);
                let whole: Vec<&Chunk> =
                    table.chunks.iter().take_while(|chunk| chunk.offset + chunk.len <= limit as u64).collect();
                assert_eq!(safe, whole.iter().map(|chunk| chunk.len).sum::<u64>());
                assert_eq!(events, whole.iter().map(|chunk| chunk.events).sum::<u64>());
                assert_eq!(double.bytes(), &full[..limit], "nothing after the error");
                let len: u64 = whole.iter().map(|chunk| chunk.plain_len).sum();
                let got = plain(compression, &full[..safe as usize]);
                assert_eq!(got, &all[..len as usize]);
            }
        }
    }
}

#[test]
fn short_writes_and_interruptions_are_no_errors() {
    let double = Double { short: Some(13), interrupt: true, ..Double::default() };
    let mut writer = into_double(&double, &options(Compression::Gzip, 1000, 1));
    for (index, block) in blocks(100).iter().enumerate() {
        writer.block(block, meta(index)).unwrap();
    }
    writer.finish(Trailer::None).unwrap();
    assert_eq!(plain(Compression::Gzip, &double.bytes()), blocks(100).concat());
}

/// Writes to `path` until that fails, and checks that what is left is what the error calls safe.
fn fill(path: &Path, kind: io::ErrorKind) {
    let blocks = blocks(50_000);
    for compression in ALL {
        for threads in [0, 2] {
            let options = options(compression, 30_000, threads);
            let mut writer = ChunkWriter::create(path, &options).unwrap();
            let error = blocks
                .iter()
                .enumerate()
                .find_map(|(index, block)| writer.block(block, meta(index)).err())
                .expect("50,000 blocks do not fit");
            let (safe, events, source) = output_error(&error);
            assert_eq!(source.kind(), kind, "{error}");
            let stored = fs::read(path).unwrap();
            assert_eq!(stored.len() as u64, safe);
            assert!(safe > 0 && events > 0);
            let got = plain(compression, &stored);
            assert!(blocks.concat().starts_with(&got));
            let chunks = writer.chunks().iter();
            assert_eq!(got.len() as u64, chunks.map(|chunk| chunk.plain_len).sum::<u64>());
        }
    }
}

/// A limited file size is the full disk that needs no privilege: part of the last write is done,
/// the rest refused. The limit is set for a child that runs this test again.
#[test]
fn a_file_at_its_size_limit_is_cut_back_to_whole_chunks() {
    const VARIABLE: &str = "SCAPKIT_TEST_FILE_SIZE_LIMIT";
    if let Some(path) = std::env::var_os(VARIABLE) {
        fill(Path::new(&path), io::ErrorKind::FileTooLarge);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.scap");
    // 25 is SIGXFSZ, which would end the child.
    let child = Command::new("sh")
        .args(["-c", "trap '' 25; ulimit -f 200; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .arg("--exact")
        .arg("errors::a_file_at_its_size_limit_is_cut_back_to_whole_chunks")
        .env(VARIABLE, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
    assert!(fs::metadata(&path).unwrap().len() > 0);
}

#[test]
fn a_full_file_system_leaves_whole_chunks() {
    struct Mount(tempfile::TempDir);
    impl Drop for Mount {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(self.0.path()).status();
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(dir.path()).output();
    match mounted {
        Ok(output) if output.status.success() => {
            let mount = Mount(dir);
            fill(&mount.0.path().join("a.scap"), io::ErrorKind::StorageFull);
        }
        other => std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: no tmpfs of 1 MiB could be mounted: {other:?}\n"),
        )
        .unwrap(),
    }
}

/// A pipe whose reader left: the tools take this kind for success.
#[test]
fn a_closed_pipe_keeps_its_kind() {
    let mut child = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    child.wait().unwrap();
    let options = options(Compression::None, 12, 0);
    let mut writer = ChunkWriter::from_writer(Box::new(stdin), "-", &options).unwrap();
    let error = writer.block(&[1; 12], meta(0)).unwrap_err();
    assert_eq!(output_error(&error).2.kind(), io::ErrorKind::BrokenPipe);
}

#[test]
fn dropped_unfinished_it_leaves_whole_chunks() {
    let blocks = blocks(5000);
    for compression in ALL {
        for threads in [0, 1, 4] {
            let double = Double::default();
            let options = WriteOptions { level: Some(9), ..options(compression, 30_000, threads) };
            let mut writer = into_double(&double, &options);
            for (index, block) in blocks.iter().enumerate() {
                writer.block(block, meta(index)).unwrap();
            }
            drop(writer);
            let got = plain(compression, &double.bytes());
            assert!(blocks.concat().starts_with(&got));
            // This test is the last owner: the writer let go of its end.
            assert_eq!(Arc::strong_count(&double.data), 1);
        }
    }
}
