//! Joining paths (state engine 7.1).

/// What a path becomes that is too long to be joined.
pub const TOO_LONG: &[u8] = b"/DIR_TOO_LONG/FILENAME_TOO_LONG";
/// Directory of an fd that is not known.
pub const UNKNOWN: &[u8] = b"<UNKNOWN>";
/// Longest joined path.
const MAX_PATH: usize = 1024;

/// Writes `path`, seen from `base`, to `out`. The base is taken as it is: neither normalised nor
/// separated; the path is normalised. An absolute path ignores the base.
pub fn join(out: &mut Vec<u8>, base: &[u8], path: &[u8]) {
    out.clear();
    if base.len().saturating_add(path.len()).saturating_add(1) > MAX_PATH {
        out.extend_from_slice(TOO_LONG);
        return;
    }
    let relative = !path.is_empty() && !path.starts_with(b"/");
    if relative {
        out.extend_from_slice(base);
    }
    let had_base = !out.is_empty();
    let mut rest = path;
    while let Some((first, after)) = rest.split_first() {
        match *first {
            b'.' if out.last().is_none_or(|c| *c == b'/') => match after {
                [b'.', b'/', tail @ ..] => {
                    rewind(out);
                    rest = tail;
                }
                [b'.'] => {
                    rewind(out);
                    rest = &[];
                }
                [b'/', tail @ ..] => rest = tail,
                [] => rest = after,
                _ => {
                    out.push(b'.');
                    rest = after;
                }
            },
            b'/' => {
                let skip = match out.last() {
                    Some(c) => *c == b'/',
                    None => had_base,
                };
                if !skip {
                    out.push(b'/');
                }
                rest = after;
            }
            c => {
                out.push(c);
                rest = after;
            }
        }
    }
    if out.len() > 1 && out.last() == Some(&b'/') {
        out.pop();
    }
}

/// Takes the last component off, but never the first character of an absolute path.
fn rewind(out: &mut Vec<u8>) {
    if out.len() <= 1 {
        return;
    }
    out.pop();
    while out.last().is_some_and(|c| *c != b'/') {
        out.pop();
    }
}

/// Makes sure that a directory ends with `/`; empty stays empty.
pub fn end_with_slash(path: &mut Vec<u8>) {
    if path.last().is_some_and(|c| *c != b'/') {
        path.push(b'/');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_of_upstream() {
        let long = "C".repeat(1500);
        for (base, path, wanted) in [
            ("", "", ""),
            ("", "../", ""),
            ("", "..", ""),
            ("/", "../", "/"),
            ("a", "../", "a.."),
            ("a/", "../", ""),
            ("", "/foo", "/foo"),
            ("foo/", "..//a", "a"),
            ("/foo/", "..//a", "/a"),
            ("heolo", "w////////////..//////.////////r.|", "r.|"),
            ("heolo", "w/////////////..//", ""),
            ("", "./", ""),
            ("", "dir/term", "dir/term"),
            ("", "//dir/term", "/dir/term"),
            ("/", "dir/term", "/dir/term"),
            ("", "./dir/term", "dir/term"),
            ("/", "//dir//////term", "/dir/term"),
            ("../.../", "dir/././././../../.../term/", "../.../term"),
            ("../.../", "/app/custom/dir/././././../../.../term/", "/app/.../term"),
            ("../.../", "/app/custom/dir/././././../../term/", "/app/term"),
            ("./app", "custom/term", "./appcustom/term"),
            ("/app", "custom/term", "/appcustom/term"),
            ("app/", "custom/term", "app/custom/term"),
            ("app/////", "custom////term", "app/////custom/term"),
            (&long, "dir/term", "/DIR_TOO_LONG/FILENAME_TOO_LONG"),
            ("/root/", "../\u{1F600}", "/\u{1F600}"),
        ] {
            let mut out = Vec::new();
            join(&mut out, base.as_bytes(), path.as_bytes());
            assert_eq!(String::from_utf8_lossy(&out), wanted, "{base} {path}");
        }
    }
}
