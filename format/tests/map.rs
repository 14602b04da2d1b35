//! Maps show a file as it is and refuse what is no regular file.

#![allow(clippy::unwrap_used)]

use scapkit_format::map::Map;
use std::path::Path;

#[test]
fn a_file_is_its_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    std::fs::write(&path, b"bytes of a file").unwrap();
    assert_eq!(&*Map::open(&path).unwrap(), b"bytes of a file");
    std::fs::write(&path, b"").unwrap();
    assert!(Map::open(&path).unwrap().is_empty());
}

#[test]
fn others_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    for (path, says) in [
        (folder.path(), "cannot map: not a regular file"),
        (Path::new("/dev/null"), "cannot map: not a regular file"),
        (&folder.path().join("missing"), "cannot open: No such file"),
    ] {
        let error = Map::open(path).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}
