//! Patterns of the shell, and regular expressions, on the regex crate: linear time, bounded size.

use regex::bytes::{Regex, RegexBuilder};
// Writing to a string cannot fail.
use std::fmt::Write as _;

/// Most memory of one compiled pattern.
const SIZE_LIMIT: usize = 2 << 20;
/// Longest pattern.
const MAX_PATTERN: usize = 16 << 10;
/// Deepest nesting of a regular expression.
const NEST_LIMIT: u32 = 100;

/// Compiles a pattern of `fnmatch(3)` without flags: `*` and `?` match slashes and leading points too.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn glob(pattern: &[u8], fold_case: bool) -> Result<Regex, String> {
    if pattern.len() > MAX_PATTERN {
        return Err(format!("a glob pattern can be at most {MAX_PATTERN} bytes long"));
    }
    let mut out = String::from(r"\A(?s-u:");
    let mut rest = pattern;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match *first {
            b'*' => {
                if !out.ends_with(".*") || out.ends_with(r"\.*") {
                    out.push_str(".*");
                }
            }
            b'?' => out.push('.'),
            b'[' => match class(rest) {
                Some((text, len)) => {
                    out.push_str(&text);
                    rest = rest.get(len..).unwrap_or_default();
                }
                // Without its end it is a letter like others.
                None => out.push_str(r"\["),
            },
            b'\\' => match rest.split_first() {
                Some((escaped, after)) => {
                    literal(&mut out, *escaped);
                    rest = after;
                }
                None => literal(&mut out, b'\\'),
            },
            b => literal(&mut out, b),
        }
    }
    out.push_str(r")\z");
    build(&out, fold_case, false)
}

fn literal(out: &mut String, b: u8) {
    if b.is_ascii_alphanumeric() {
        out.push(char::from(b));
    } else {
        let _ = write!(out, "\\x{b:02x}");
    }
}

/// A class in brackets, after the opening one: as a regular expression, and its length with the
/// closing bracket.
fn class(text: &[u8]) -> Option<(String, usize)> {
    let mut at = 0;
    let mut out = String::from("[");
    if matches!(text.first(), Some(b'!' | b'^')) {
        out.push('^');
        at = 1;
    }
    let start = at;
    loop {
        let b = *text.get(at)?;
        if b == b']' && at > start {
            out.push(']');
            return Some((out, at.saturating_add(1)));
        }
        if b == b'[' && text.get(at.saturating_add(1)) == Some(&b':') {
            const NAMES: [&str; 12] = [
                "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
                "xdigit",
            ];
            let inside = text.get(at.saturating_add(2)..)?;
            let name = NAMES.iter().find(|n| inside.starts_with(format!("{n}:]").as_bytes()));
            if let Some(name) = name {
                let _ = write!(out, "[:{name}:]");
                at = at.saturating_add(name.len()).saturating_add(4);
                continue;
            }
        }
        let (low, next) = member(text, at)?;
        let range = text.get(next) == Some(&b'-') && text.get(next.saturating_add(1)).is_some_and(|b| *b != b']');
        if range {
            let (high, after) = member(text, next.saturating_add(1))?;
            if low <= high {
                let _ = write!(out, "\\x{low:02x}-\\x{high:02x}");
            } else if out == "[" || out == "[^" {
                // An empty range matches nothing; there is no empty class.
                out.push_str("&&[^\\x00-\\xff]");
            }
            at = after;
        } else {
            let _ = write!(out, "\\x{low:02x}");
            at = next;
        }
    }
}

/// One byte of a class, perhaps escaped, and where the next stands.
fn member(text: &[u8], at: usize) -> Option<(u8, usize)> {
    match *text.get(at)? {
        b'\\' => Some((*text.get(at.saturating_add(1))?, at.saturating_add(2))),
        b => Some((b, at.saturating_add(1))),
    }
}

/// Compiles a regular expression of POSIX syntax as RE2 takes it; it must match the whole value.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn regex(pattern: &[u8]) -> Result<Regex, String> {
    let text = std::str::from_utf8(pattern).map_err(|_| "invalid regex pattern: it is not UTF-8".to_owned())?;
    if text.len() > MAX_PATTERN {
        return Err(format!("invalid regex pattern: it can be at most {MAX_PATTERN} bytes long"));
    }
    posix_only(text)?;
    // Checked alone, so that brackets cannot close ours.
    build(text, false, true)?;
    build(&format!(r"\A(?:{text})\z"), false, true)
}

/// Refuses what RE2 refuses in POSIX syntax although the regex crate knows it.
fn posix_only(text: &str) -> Result<(), String> {
    let mut chars = text.chars().peekable();
    let mut in_class = false;
    let mut repeats = false;
    while let Some(c) = chars.next() {
        let was_repeat = std::mem::take(&mut repeats);
        match c {
            '\\' => match chars.next() {
                Some(e @ ('d' | 'D' | 's' | 'S' | 'w' | 'W' | 'b' | 'B' | 'A' | 'z' | 'Q' | 'p' | 'P' | 'C')) => {
                    return Err(format!(
                        "invalid regex pattern: \\{e} is not in POSIX syntax; write a class such as [0-9] or [[:space:]]"
                    ));
                }
                Some(_) => {}
                None => return Err("invalid regex pattern: it ends in a backslash".into()),
            },
            '[' if !in_class => {
                in_class = true;
                // A closing bracket that comes first belongs to the class.
                chars.next_if_eq(&'^');
                chars.next_if_eq(&']');
            }
            '[' if chars.peek() == Some(&':') => while chars.next().is_some_and(|c| c != ']') {},
            ']' => in_class = false,
            _ if in_class => {}
            '(' if chars.peek() == Some(&'?') => {
                return Err("invalid regex pattern: (? is not in POSIX syntax".into());
            }
            '*' | '+' | '?' | '}' if was_repeat => {
                return Err(format!("invalid regex pattern: bad repetition operator before '{c}'"));
            }
            '*' | '+' | '?' => repeats = true,
            _ => {}
        }
    }
    Ok(())
}

fn build(pattern: &str, fold_case: bool, lines: bool) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .case_insensitive(fold_case)
        .multi_line(lines)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(SIZE_LIMIT)
        .nest_limit(NEST_LIMIT)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("invalid regex pattern: it needs more than {limit} bytes of memory")
            }
            error => {
                // The last line says what, those before show where.
                let text = error.to_string();
                let last = text.lines().last().unwrap_or_default();
                format!("invalid regex pattern: {}", last.strip_prefix("error: ").unwrap_or(last))
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_fnmatch() {
        for (pattern, text, wanted) in [
            ("*.log", "/var/log/x.log", true),
            ("*.log", "x.logs", false),
            ("/etc/*", "/etc/a/b", true),
            ("?", "", false),
            ("?", ".", true),
            ("a[b-d]e", "ace", true),
            ("a[!b-d]e", "ace", false),
            ("a[^b]e", "axe", true),
            ("a[]x]", "a]", true),
            ("a[", "a[", true),
            ("a[b", "a[b", true),
            (r"a\*", "a*", true),
            (r"a\*", "ab", false),
            (r"a[\]]", "a]", true),
            ("[[:digit:]]*", "1x", true),
            ("[[:digit:]]", "x", false),
            ("a.b", "axb", false),
            ("a-z", "a-z", true),
            ("[z-a]", "m", false),
            ("a\nb*", "a\nb\nc", true),
            ("**x**", "axb", true),
            (".*", ".a", true),
            (".**", "b", false),
            ("\u{e9}?", "\u{e9}!", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), false).unwrap().is_match(text.as_bytes()), wanted, "{pattern} {text}");
        }
        assert!(glob(b"*.LOG", true).unwrap().is_match(b"x.log"));
        assert!(glob(&[b'*', 0xff], false).unwrap().is_match(&[1, 0xff]));
        assert!(glob(&vec![b'*'; MAX_PATTERN + 1], false).is_err());
    }

    #[test]
    fn posix_syntax() {
        for (pattern, text, wanted) in [
            ("/home/.*/dev", "/home/x/dev", true),
            ("/home/.*/dev", "/home/x/dev/y", false),
            ("a|b", "b", true),
            ("a|ab", "ab", true),
            ("[[:digit:]]+", "123", true),
            ("[]a]+", "]a", true),
            ("a.b", "a\nb", false),
            ("x*", "", true),
        ] {
            assert_eq!(regex(pattern.as_bytes()).unwrap().is_match(text.as_bytes()), wanted, "{pattern} {text}");
        }
        for bad in [r"\d", "(?i)a", "(?=a)", "a*?", "a+?", "[", "(", "a)(", "*", r"a\", "(a{1000}){1000}", "a**"] {
            let error = regex(bad.as_bytes()).unwrap_err();
            assert!(error.starts_with("invalid regex pattern: "), "{bad}: {error}");
        }
        assert!(regex(format!("{}{}", "(".repeat(5000), ")".repeat(5000)).as_bytes()).is_err());
    }
}
