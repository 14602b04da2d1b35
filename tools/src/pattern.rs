//! Choosing rows of a list by their names.

/// Whether a name is wanted: the pattern is part of it, or fits all of it where it has `*` or `?`. Capitals do not
/// matter.
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    if !pattern.contains(['*', '?']) {
        return name.contains(&pattern);
    }
    // Where a match may go on after each star, as far left as it can be.
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n, mut retry) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                retry = Some((p, n));
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((star, from)) = retry else { return false };
                (p, n) = (star, from + 1);
                retry = Some((p, n));
            }
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn parts_and_patterns() {
        for (pattern, name, wanted) in [
            ("", "open", true),
            ("PEN", "open", true),
            ("pne", "open", false),
            ("open*", "openat2", true),
            ("open", "openat2", true),
            ("*open", "openat2", false),
            ("op?n", "open", true),
            ("op?n", "openat2", false),
            ("*.a*e", "proc.aname", true),
            ("*a*a*", "proc.aname", true),
            ("**", "", true),
            ("?", "", false),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
