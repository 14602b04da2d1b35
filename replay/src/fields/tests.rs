use super::*;
use std::collections::BTreeSet;

#[test]
fn names_are_known_once() {
    let names: Vec<&str> = all().map(|f| f.name).collect();
    let set: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(set.len(), names.len());
    assert_eq!(set.len(), 359);
    let dir = std::env::var_os("SCAPKIT_SHARED").map_or_else(
        || std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        std::path::PathBuf::from,
    );
    let Ok(reference) = std::fs::read_to_string(dir.join("spec/fields.json")) else {
        std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("SKIPPED: the field reference is absent (set SCAPKIT_SHARED)\n"),
        )
        .unwrap();
        return;
    };
    let reference: serde_json::Value = serde_json::from_str(&reference).unwrap();
    let reference = reference["fields"].as_array().unwrap();
    assert_eq!(set, reference.iter().map(|f| f["name"].as_str().unwrap()).collect());
    for field in all() {
        let row = reference.iter().find(|r| r["name"] == field.name).unwrap();
        let wanted = match field.takes {
            Takes::Nothing => serde_json::Value::Null,
            Takes::Index | Takes::IndexOrName => "allowed".into(),
            // The reference says that a side is required, and that it need not be there.
            _ => "required".into(),
        };
        assert_eq!(row["arg"], wanted, "{field:?}");
        assert_eq!(row["type"], field.kind.upstream_name(), "{field:?}");
        for (column, wanted) in [
            ("is_list", field.traits.has(Traits::LIST)),
            ("filter_only", field.traits.has(Traits::FILTER_ONLY)),
            ("print_only", field.traits.has(Traits::PRINT_ONLY)),
            ("deprecated", field.traits.has(Traits::DEPRECATED)),
            ("transformers_allowed", !field.traits.has(Traits::NO_TRANSFORMER)),
            ("usable_as_rhs_field", !field.traits.has(Traits::NO_RHS)),
        ] {
            assert_eq!(row[column], wanted, "{field:?} {column}");
        }
    }
}

#[test]
fn the_longest_name_wins() {
    let named = |text| parse_prefix(text).map(|n| (n.field.name, n.arg, n.len));
    assert_eq!(named("evt.time.s."), Ok(("evt.time.s", Arg::None, 10)));
    assert_eq!(named("evt.timex"), Ok(("evt.time", Arg::None, 8)));
    assert_eq!(named("proc.nameand"), Ok(("proc.name", Arg::None, 9)));
    assert_eq!(named("evt.arg.pathname"), Ok(("evt.arg", Arg::Name("pathname"), 16)));
    assert_eq!(named("evt.arg.path end"), Ok(("evt.arg", Arg::Name("path"), 12)));
    assert_eq!(named("evt.arg[12]x"), Ok(("evt.arg", Arg::Index(12), 11)));
    assert_eq!(named("proc.args[0]"), Ok(("proc.args", Arg::Index(0), 12)));
    assert_eq!(named("proc.args and"), Ok(("proc.args", Arg::None, 9)));
    assert_eq!(named("fd.cip.name"), Ok(("fd.cip.name", Arg::None, 11)));
    assert_eq!(named("fd.net"), Ok(("fd.net", Arg::None, 6)));
    let key = |key: &str| Arg::Key(key.into());
    assert_eq!(
        named("container.label.app.kubernetes.io/name:"),
        Ok(("container.label", key("app.kubernetes.io/name"), 38))
    );
    assert_eq!(named("container.label[a b]."), Ok(("container.label", key("a b"), 20)));
    assert_eq!(named("container.label[\"a]b\"]."), Ok(("container.label", key("a]b"), 22)));
    assert_eq!(named("container.label.a. b"), Ok(("container.label", key("a"), 17)));
    assert_eq!(named("container.mount[2]"), Ok(("container.mount", Arg::Index(2), 18)));
    assert_eq!(named("container.mount.dest[/usr/*]"), Ok(("container.mount.dest", key("/usr/*"), 28)));
    assert_eq!(named("proc.env[HOME]x"), Ok(("proc.env", key("HOME"), 14)));
    assert_eq!(named("proc.env[3]"), Ok(("proc.env", Arg::Index(3), 11)));
    assert_eq!(named("proc.aenv and"), Ok(("proc.aenv", Arg::None, 9)));
    assert!(matches!(named("proc.aenv[x"), Err(Refused::Argument("proc.aenv", _))));
    assert_eq!(named("thread.cgroups"), Ok(("thread.cgroups", Arg::None, 14)));
    assert_eq!(named("thread.cgroup.cpu."), Ok(("thread.cgroup", key("cpu"), 17)));
    assert_eq!(named("thread.cgroup.net_cls2"), Ok(("thread.cgroup", key("net_cls"), 21)));
    assert_eq!(named("thread.cgroup[cpu]"), Ok(("thread.cgroup", key("cpu"), 18)));
    assert!(matches!(named("thread.cgroup"), Err(Refused::Argument("thread.cgroup", _))));
    assert_eq!(named("evt.abspath "), Ok(("evt.abspath", Arg::None, 11)));
    assert_eq!(named("evt.abspath.src"), Ok(("evt.abspath", Arg::Index(0), 15)));
    assert_eq!(named("evt.abspath.dst="), Ok(("evt.abspath", Arg::Index(1), 15)));
    assert_eq!(named("evt.type.is.open="), Ok(("evt.type.is", Arg::Types(2, 3), 16)));
    assert_eq!(named("evt.type.is.7 "), Ok(("evt.type.is", Arg::Types(7, 7), 13)));
    assert!(matches!(named("evt.type.is.zzz"), Err(Refused::Argument("evt.type.is", _))));
    assert!(matches!(named("container.label"), Err(Refused::Argument("container.label", _))));
    assert!(matches!(named("container.mount[]"), Err(Refused::Argument("container.mount", _))));
    assert_eq!(named("nothing"), Err(Refused::Unknown));
}

#[test]
fn near_names() {
    assert_eq!(nearest("proc.nmae"), Some("proc.name"));
    assert_eq!(nearest("evt.tpye"), Some("evt.type"));
    assert_eq!(nearest("zzz"), None);
    assert_eq!(distance("kitten", "sitting"), 3);
    assert_eq!(distance("ab", "ba"), 1);
    assert_eq!(distance("", "abc"), 3);
}
