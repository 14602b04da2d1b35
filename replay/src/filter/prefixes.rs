//! `pmatch`: whether a path lies below one of many (filter-language section 5).

use super::glob;
use regex::bytes::Regex;
use std::collections::BTreeMap;

/// Paths by their components.
#[derive(Debug, Default, Clone)]
pub(crate) struct Prefixes {
    nodes: Vec<Node>,
}

#[derive(Debug, Default, Clone)]
struct Node {
    /// A path ends here: everything below matches.
    ends: bool,
    children: BTreeMap<Box<[u8]>, usize>,
    patterns: Vec<(Regex, usize)>,
    /// To find a pattern again while the tree is made.
    names: BTreeMap<Box<[u8]>, usize>,
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/').filter(|c| !c.is_empty())
}

impl Prefixes {
    /// The tree of these paths.
    ///
    /// # Errors
    /// What is wrong with a pattern in one of them, and which it is.
    pub fn new<'p>(paths: impl Iterator<Item = &'p [u8]>) -> Result<Prefixes, (usize, String)> {
        let mut tree = Prefixes { nodes: vec![Node::default()] };
        for (n, path) in paths.enumerate() {
            let mut at = 0;
            for part in components(path) {
                // A shorter path says it all.
                if tree.nodes.get(at).is_none_or(|node| node.ends) {
                    break;
                }
                at = tree.child(at, part).map_err(|message| (n, message))?;
            }
            if let Some(node) = tree.nodes.get_mut(at) {
                *node = Node { ends: true, ..Node::default() };
            }
        }
        Ok(tree)
    }

    fn child(&mut self, at: usize, part: &[u8]) -> Result<usize, String> {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return Ok(at) };
        let is_pattern = part.iter().any(|b| matches!(b, b'?' | b'*' | b'['));
        let known = if is_pattern { &mut node.names } else { &mut node.children };
        if let Some(child) = known.get(part) {
            return Ok(*child);
        }
        known.insert(part.into(), new);
        if is_pattern {
            node.patterns.push((glob::glob(part, false)?, new));
        }
        self.nodes.push(Node::default());
        Ok(new)
    }

    /// Whether one of the paths leads to `value`. Nodes stand at one depth each, so none is visited
    /// twice.
    pub fn matches(&self, value: &[u8]) -> bool {
        self.below(0, value)
    }

    fn below(&self, at: usize, rest: &[u8]) -> bool {
        let Some(node) = self.nodes.get(at) else { return false };
        if node.ends {
            return true;
        }
        let Some(part) = components(rest).next() else { return false };
        let skip = rest.iter().take_while(|b| **b == b'/').count().saturating_add(part.len());
        let rest = rest.get(skip..).unwrap_or_default();
        node.children.get(part).is_some_and(|child| self.below(*child, rest))
            || node.patterns.iter().any(|(pattern, child)| pattern.is_match(part) && self.below(*child, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(paths: &[&str], value: &str) -> bool {
        Prefixes::new(paths.iter().map(|p| p.as_bytes())).unwrap().matches(value.as_bytes())
    }

    #[test]
    fn paths_below_others() {
        let paths = ["/var/run", "/var/run/dmesg", "/etc/", "/lib", "/usr/lib", "/usr/local"];
        for (value, wanted) in
            [("/var/run/docker", true), ("/boot", false), ("/var", false), ("/var/run", true), ("/etc", true)]
        {
            assert_eq!(matches(&paths, value), wanted, "{value}");
        }
        assert!(matches(&["/"], "/") && matches(&["/"], "/a/b") && matches(&[""], "x"));
        assert!(!matches(&[], "/"));
        assert!(matches(&["a/b"], "/a//b/c") && !matches(&["a/b"], "a"));
        assert!(matches(&["/opt/*/x", "/opt/d*/y"], "/opt/dir/y"), "every pattern counts");
        assert!(!matches(&["/opt/*/*/z"], "/opt/a/b/c"));
        assert!(matches(&["/opt/di[!x]/s"], "/opt/dir/s/t"));
    }

    #[test]
    fn a_deep_path() {
        let deep = "/a".repeat(20_000);
        assert!(matches(&["/a"], &deep));
        assert!(matches(&["/*".repeat(500).as_str()], &deep));
    }
}
