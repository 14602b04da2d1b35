//! Turns the tables under `schema/` into static Rust tables (`schema_gen.rs` in `OUT_DIR`).
//!
//! A build script may stop the build: a wrong table must not become a program.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    missing_docs
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Rows of a schema file: tab-separated columns, `-` meaning empty; `#` starts a comment.
fn rows(dir: &Path, file: &str, columns: usize) -> Vec<Vec<String>> {
    let path = dir.join(file);
    println!("cargo:rerun-if-changed={}", path.display());
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut rows = Vec::new();
    for (n, line) in text.lines().enumerate() {
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let row: Vec<String> = line.split('\t').map(|c| if c == "-" { "" } else { c }.to_owned()).collect();
        assert_eq!(row.len(), columns, "{file}:{}: {} columns, wanted {columns}", n + 1, row.len());
        rows.push(row);
    }
    rows
}

/// `ENUMFLAGS32` -> `EnumFlags32`: the variant names of `ParamType`.
fn param_type(name: &str) -> &'static str {
    const NAMES: &[(&str, &str)] = &[
        ("INT8", "Int8"),
        ("INT16", "Int16"),
        ("INT32", "Int32"),
        ("INT64", "Int64"),
        ("UINT8", "Uint8"),
        ("UINT16", "Uint16"),
        ("UINT32", "Uint32"),
        ("UINT64", "Uint64"),
        ("CHARBUF", "CharBuf"),
        ("BYTEBUF", "ByteBuf"),
        ("ERRNO", "Errno"),
        ("SOCKADDR", "SockAddr"),
        ("SOCKTUPLE", "SockTuple"),
        ("FD", "Fd"),
        ("PID", "Pid"),
        ("FDLIST", "FdList"),
        ("FSPATH", "FsPath"),
        ("SYSCALLID", "SyscallId"),
        ("SIGTYPE", "SigType"),
        ("RELTIME", "RelTime"),
        ("ABSTIME", "AbsTime"),
        ("PORT", "Port"),
        ("L4PROTO", "L4Proto"),
        ("SOCKFAMILY", "SockFamily"),
        ("BOOL", "Bool"),
        ("IPV4ADDR", "Ipv4Addr"),
        ("DYN", "Dyn"),
        ("FLAGS8", "Flags8"),
        ("FLAGS16", "Flags16"),
        ("FLAGS32", "Flags32"),
        ("UID", "Uid"),
        ("GID", "Gid"),
        ("DOUBLE", "Double"),
        ("SIGSET", "SigSet"),
        ("CHARBUFARRAY", "CharBufArray"),
        ("CHARBUF_PAIR_ARRAY", "CharBufPairArray"),
        ("IPV6ADDR", "Ipv6Addr"),
        ("MODE", "Mode"),
        ("FSRELPATH", "FsRelPath"),
        ("ENUMFLAGS8", "EnumFlags8"),
        ("ENUMFLAGS16", "EnumFlags16"),
        ("ENUMFLAGS32", "EnumFlags32"),
        ("FD32", "Fd32"),
        ("PID32", "Pid32"),
    ];
    NAMES.iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("parameter type {name}")).1
}

fn print_format(name: &str) -> &'static str {
    match name {
        "NA" => "None",
        "DEC" => "Decimal",
        "HEX" => "Hexadecimal",
        "OCT" => "Octal",
        other => panic!("print format {other}"),
    }
}

const CATEGORIES: &[(&str, u16)] = &[
    ("unknown", 0),
    ("other", 1),
    ("file", 2),
    ("net", 3),
    ("ipc", 4),
    ("memory", 5),
    ("process", 6),
    ("sleep", 7),
    ("system", 8),
    ("signal", 9),
    ("user", 10),
    ("time", 11),
    ("processing", 12),
    ("io_read", 32),
    ("io_write", 33),
    ("io_other", 34),
    ("wait", 64),
    ("scheduler", 128),
    ("internal", 256),
    ("syscall", 512),
    ("tracepoint", 1024),
    ("plugin", 2048),
    ("metaevent", 4096),
    ("iter", 8192),
];

const EVENT_FLAGS: &[(&str, u16)] = &[
    ("creates_fd", 0),
    ("destroys_fd", 1),
    ("uses_fd", 2),
    ("reads_from_fd", 3),
    ("writes_to_fd", 4),
    ("modifies_state", 5),
    ("unused", 6),
    ("waits", 7),
    ("skipparsereset", 8),
    ("old_version", 9),
    ("drop_simple_cons", 10),
    ("large_payload", 11),
    ("converter_managed", 12),
];

fn bits(column: &str, names: &[(&str, u16)], shift: bool) -> u16 {
    column.split(',').filter(|n| !n.is_empty()).fold(0, |acc, n| {
        let value = names.iter().find(|(k, _)| *k == n).unwrap_or_else(|| panic!("name {n}")).1;
        acc | if shift { 1 << value } else { value }
    })
}

fn params(column: &str) -> String {
    let mut out = String::new();
    for p in column.split(' ').filter(|p| !p.is_empty()) {
        let parts: Vec<&str> = p.split(':').collect();
        let (mut flags, mut dynamic, mut dirfd) = ("None".to_owned(), "&[]".to_owned(), "None".to_owned());
        for extra in &parts[3..] {
            let (key, value) = extra.split_once('=').expect("key=value");
            match key {
                "flags" => flags = format!("Some(&FLAGS_{})", value.to_uppercase()),
                "dyn" => dynamic = format!("DYN_{}", value.to_uppercase()),
                "dirfd" => dirfd = format!("Some({value})"),
                other => panic!("parameter attribute {other}"),
            }
        }
        write!(
            out,
            "ParamInfo {{ name: {:?}, kind: ParamType::{}, format: PrintFormat::{}, flags: {flags}, dynamic: {dynamic}, dirfd: {dirfd} }}, ",
            parts[0].replace('~', " "),
            param_type(parts[1]),
            print_format(parts[2]),
        )
        .unwrap();
    }
    format!("&[{out}]")
}

fn instruction(text: &str) -> String {
    match text {
        "D" => "Instruction::Default".into(),
        "empty" => "Instruction::Empty".into(),
        "container" => "Instruction::ContainerJson".into(),
        _ => {
            let number = text[1..].trim_end_matches('?');
            match (&text[..1], text.ends_with('?')) {
                ("o", false) => format!("Instruction::Old({number})"),
                ("e", orelse_empty) => {
                    format!("Instruction::Enter {{ param: {number}, or_empty: {orelse_empty} }}")
                }
                _ => panic!("conversion instruction {text}"),
            }
        }
    }
}

fn main() {
    let dir = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("schema");
    let mut out = String::from("// Written by build.rs from the tables under schema/. Do not edit.\n");

    let mut tables: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
    for r in rows(&dir, "flags.tsv", 3) {
        tables.entry(r[0].clone()).or_default().push((r[1].clone(), r[2].parse().unwrap()));
    }
    for (name, entries) in &tables {
        writeln!(
            out,
            "static FLAGS_{}: FlagTable = FlagTable {{ name: {name:?}, entries: &{entries:?} }};",
            name.to_uppercase()
        )
        .unwrap();
    }
    let all: Vec<String> = tables.keys().map(|n| format!("&FLAGS_{}", n.to_uppercase())).collect();
    writeln!(out, "/// Every flag table, by name.\npub static FLAG_TABLES: &[&FlagTable] = &[{}];", all.join(", "))
        .unwrap();

    let mut dynamics: BTreeMap<String, String> = BTreeMap::new();
    for r in rows(&dir, "dynparams.tsv", 4) {
        let list = dynamics.entry(r[0].clone()).or_default();
        write!(
            list,
            "DynType {{ index: {}, kind: ParamType::{}, format: PrintFormat::{} }}, ",
            r[1],
            param_type(&r[2]),
            print_format(&r[3])
        )
        .unwrap();
    }
    for (name, list) in &dynamics {
        writeln!(out, "static DYN_{}: &[DynType] = &[{list}];", name.to_uppercase()).unwrap();
    }

    let events = rows(&dir, "events.tsv", 7);
    writeln!(
        out,
        "/// The current event table (schema 4.5.1), indexed by event type.\npub static EVENTS: [EventInfo; {}] = [",
        events.len()
    )
    .unwrap();
    for (i, r) in events.iter().enumerate() {
        assert_eq!(r[0], i.to_string(), "events.tsv is not in order");
        writeln!(
            out,
            "EventInfo {{ id: {}, constant: {:?}, name: {:?}, category: Category({}), flags: EventFlags({}), syscalls: &[{}], params: {} }},",
            r[0], r[1], r[2], bits(&r[3], CATEGORIES, false), bits(&r[4], EVENT_FLAGS, true), r[5], params(&r[6]),
        )
        .unwrap();
    }
    out.push_str("];\n");
    let brief: Vec<u8> = events
        .iter()
        .map(|r| {
            r[6].split(' ').filter(|p| !p.is_empty()).count() as u8 | u8::from(r[4].contains("large_payload")) << 7
        })
        .collect();
    writeln!(out, "/// Per event type: parameters of the table, and bit 7 for 32-bit lengths. Small enough to stay in cache while scanning.\npub(crate) static BRIEF: [u8; {}] = {brief:?};", events.len()).unwrap();
    out.push_str(
        "/// Event type numbers by their constant's name without `PPME_`.\n#[allow(missing_docs)]\npub mod id {\n",
    );
    for r in &events {
        writeln!(out, "pub const {}: u16 = {};", r[1], r[0]).unwrap();
    }
    out.push_str("}\n");

    let old = rows(&dir, "events-2022.tsv", 5);
    writeln!(out, "/// The event table of the spring of 2022 (libs e5c53d64, Debian's sysdig 0.29.3), indexed by event type.\npub static EVENTS_2022: [EventInfo; {}] = [", old.len()).unwrap();
    for (i, r) in old.iter().enumerate() {
        assert_eq!(r[0], i.to_string(), "events-2022.tsv is not in order");
        let category = bits(&events[i][3], CATEGORIES, false);
        writeln!(
            out,
            "EventInfo {{ id: {}, constant: {:?}, name: {:?}, category: Category({category}), flags: EventFlags({}), syscalls: &[{}], params: {} }},",
            r[0], r[1], r[2], bits(&r[3], EVENT_FLAGS, true), events[i][5], params(&r[4]),
        )
        .unwrap();
    }
    out.push_str("];\n");

    let codes = rows(&dir, "syscall-codes.tsv", 2);
    let highest: usize = codes.iter().map(|r| r[0].parse::<usize>().unwrap()).max().unwrap();
    let mut names = vec![String::new(); highest + 1];
    for r in &codes {
        names[r[0].parse::<usize>().unwrap()].clone_from(&r[1]);
    }
    writeln!(out, "/// System call names by the code that captures store; empty where a code was given up.\npub static SYSCALL_NAMES: [&str; {}] = {names:?};", names.len()).unwrap();
    for (arch, file) in [("X86_64", "syscalls-x86_64.tsv"), ("AARCH64", "syscalls-aarch64.tsv")] {
        let list = rows(&dir, file, 5);
        writeln!(
            out,
            "/// Native system calls of {arch}, by number.\npub static SYSCALLS_{arch}: [NativeSyscall; {}] = [",
            list.len()
        )
        .unwrap();
        for r in &list {
            writeln!(
                out,
                "NativeSyscall {{ number: {}, code: {}, enter: {}, exit: {}, used: {} }},",
                r[0],
                r[1],
                r[2],
                r[3],
                r[4].split(',').any(|f| f == "used")
            )
            .unwrap();
        }
        out.push_str("];\n");
    }
    let ia32 = rows(&dir, "syscalls-ia32.tsv", 2);
    let pairs: Vec<String> = ia32.iter().map(|r| format!("({}, {:?})", r[0], r[1].parse::<u16>().ok())).collect();
    writeln!(out, "/// ia32 call number and the x86_64 number of the same call, if there is one.\npub static IA32_TO_X86_64: [(u16, Option<u16>); {}] = [{}];", pairs.len(), pairs.join(", ")).unwrap();

    let conversions = rows(&dir, "conversions.tsv", 5);
    writeln!(out, "/// How an old event becomes a current one, ordered by event type and stored parameters.\npub static CONVERSIONS: [Conversion; {}] = [", conversions.len()).unwrap();
    let mut previous = (0u32, 0u32);
    for (i, r) in conversions.iter().enumerate() {
        let key = (r[0].parse().unwrap(), r[1].parse().unwrap());
        assert!(i == 0 || key > previous, "conversions.tsv is not in order at event {}", r[0]);
        previous = key;
        let action = match r[2].as_str() {
            "store" => "Action::Store".to_owned(),
            "store+pass" => "Action::StoreAndPass".to_owned(),
            "pass" => "Action::Pass".to_owned(),
            "add" => "Action::Add".to_owned(),
            "become" => format!("Action::Become({})", r[3]),
            other => panic!("conversion action {other}"),
        };
        let instructions: Vec<String> = r[4].split(' ').filter(|s| !s.is_empty()).map(instruction).collect();
        writeln!(
            out,
            "Conversion {{ event: {}, nparams: {}, action: {action}, instructions: &[{}] }},",
            r[0],
            r[1],
            instructions.join(", ")
        )
        .unwrap();
    }
    out.push_str("];\n");

    fs::write(PathBuf::from(env::var_os("OUT_DIR").unwrap()).join("schema_gen.rs"), out).unwrap();
    println!("cargo:rerun-if-changed=build.rs");
}
