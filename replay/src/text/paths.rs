//! Joining a directory and a path (state engine 7.1). Purely textual.

const LONGEST: usize = 1024;

/// Appends `base` joined with `path`: a relative path is appended to `base` as it stands (no
/// separator is put in between), an absolute one stands alone. The path is normalised: no `.`, no
/// doubled separators, `..` takes a component away.
pub fn join(out: &mut Vec<u8>, base: &[u8], path: &[u8]) {
    if base.len().saturating_add(path.len()).saturating_add(1) > LONGEST {
        out.extend_from_slice(b"/DIR_TOO_LONG/FILENAME_TOO_LONG");
        return;
    }
    let start = out.len();
    if path.first().is_some_and(|b| *b != b'/') {
        out.extend_from_slice(base);
    }
    let has_base = out.len() > start;
    if path.first() == Some(&b'/') {
        out.push(b'/');
    }
    // `..` never goes above the first byte when that is a separator.
    let floor = if out.get(start) == Some(&b'/') {
        start.saturating_add(1)
    } else {
        start
    };
    let mut first = true;
    for part in path.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".") {
        if part == b".." && !(first && has_base && out.last() != Some(&b'/')) {
            rewind(out, floor);
            continue;
        }
        // The first component follows the base directly; later ones a separator.
        if !first && out.len() > floor && out.last() != Some(&b'/') {
            out.push(b'/');
        }
        out.extend_from_slice(part);
        first = false;
    }
    if out.len() > floor && out.last() == Some(&b'/') {
        out.pop();
    }
}

/// Takes the last component away.
fn rewind(out: &mut Vec<u8>, floor: usize) {
    if out.len() > floor && out.last() == Some(&b'/') {
        out.pop();
    }
    while out.len() > floor && out.last() != Some(&b'/') {
        out.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_upstream_joins() {
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
            (long.as_str(), "dir/term", "/DIR_TOO_LONG/FILENAME_TOO_LONG"),
            ("/root/", "../\u{1F600}", "/\u{1F600}"),
        ] {
            let mut out = b"/x".to_vec();
            join(&mut out, base.as_bytes(), path.as_bytes());
            let got = String::from_utf8(out.split_off(2)).unwrap();
            assert_eq!(got, wanted, "{base:?} {path:?}");
        }
    }
}
