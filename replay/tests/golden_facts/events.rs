//! The machine of the facts, and their events: values of the file by the widths of the event table.

use scapkit_format::EventHead;
use scapkit_format::lists::fds::{Fd, FdInfo, FdType};
use scapkit_format::lists::threads::Thread;
use scapkit_format::lists::users::Account;
use scapkit_format::schema::{EVENTS, EventInfo, ParamInfo, ParamType};
use scapkit_format::synth::{Params, Synth};
use serde::Deserialize;
use serde_json::Value;
use std::net::Ipv6Addr;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const SOCK_STREAM: u32 = 1;

/// What a row says of the state before its events.
#[derive(Deserialize, Default, Clone)]
#[serde(default)]
pub struct Machine {
    users: Vec<User>,
    thread_uid: u32,
    loginuid: u32,
    #[serde(skip)]
    comm: Option<String>,
}

impl Machine {
    /// One whose process is named so.
    pub fn of_program(comm: &str) -> Machine {
        Machine { comm: Some(comm.to_owned()), ..Machine::default() }
    }
}

#[derive(Deserialize, Clone)]
struct User {
    uid: u32,
    gid: u32,
    name: String,
    home: String,
    shell: String,
}

/// An event.
#[derive(Clone)]
pub struct Step {
    event_type: u16,
    params: Params,
}

/// A capture of the machine and its events.
pub fn capture(machine: &Machine, steps: &[Step]) -> Vec<u8> {
    let init = Thread {
        tid: 1,
        pid: 1,
        vtid: 1,
        vpid: 1,
        comm: machine.comm.as_deref().unwrap_or("init").as_bytes(),
        exe: b"/sbin/init",
        exepath: b"/sbin/init",
        args: b"context\0ls\0--format\0{{json .}}\0",
        env: b"TEST_ENV_PARENT_LINEAGE=secret\0HOME=/home/user/parent\0",
        cwd: b"/root/",
        uid: machine.thread_uid,
        loginuid: machine.loginuid,
        ..Thread::default()
    };
    let null = Fd { fd: 0, ino: 0, kind: FdType::FILE, info: FdInfo::Name(b"/dev/null"), extra: &[] };
    let users = machine.users.iter().map(|u| Account::User {
        uid: u.uid,
        gid: u.gid,
        name: u.name.as_bytes(),
        home: u.home.as_bytes(),
        shell: u.shell.as_bytes(),
        extra: &[],
    });
    let mut synth = Synth::new();
    synth.section().users(2, &users.collect::<Vec<_>>()).threads(9, &[init]).fds(2, 1, &[null]);
    for (step, ts) in steps.iter().zip(1_000_000_000_000..) {
        let head = EventHead { ts, tid: 1, cpu: 1, event_type: step.event_type, ..EventHead::default() };
        synth.event_of(head, &step.params);
    }
    synth.finish()
}

/// Events that the file names by a word. `path`: of the directory.
pub fn words(word: &str, fd: i64, path: &str) -> Step {
    let socket = |family: u8| {
        let params = Params::new().i64(fd).u32(u32::from(family)).u32(SOCK_STREAM).u32(0).u32(0);
        Step::new("PPME_SOCKET_SOCKET_X", params)
    };
    let ok = Params::new().i64(0);
    match word {
        "socket" => socket(AF_INET),
        "socket6" => socket(AF_INET6),
        "connect6" => {
            Step::new("PPME_SOCKET_CONNECT_X", ok.bytes(&address("tuple C6->S6")).i64(fd).bytes(&address("addr S6")))
        }
        "bind" => Step::new("PPME_SOCKET_BIND_X", ok.bytes(&address("sockaddr S")).i64(fd)),
        "listen" => Step::new("PPME_SOCKET_LISTEN_X", ok.i64(fd).u32(5)),
        "opened" => Step::new("PPME_SYSCALL_OPEN_X", Params::new().i64(3).str("/tmp/path").u32(0).u32(0).u32(0).u64(0)),
        "directory" => {
            let flags = flag(EventInfo::of("PPME_SYSCALL_OPENAT2_X"), "flags", "O_DIRECTORY");
            let opened = Params::new().i64(2).i64(-100).str(path).u32(flags).u32(0).u32(0).u32(0).u64(0);
            Step::new("PPME_SYSCALL_OPENAT2_X", opened)
        }
        other => panic!("{other}"),
    }
}

trait Named {
    fn of(constant: &str) -> &'static EventInfo;
}

impl Named for EventInfo {
    fn of(constant: &str) -> &'static EventInfo {
        let name = constant.strip_prefix("PPME_").unwrap();
        EVENTS.iter().find(|e| e.constant == name).unwrap_or_else(|| panic!("{constant}"))
    }
}

impl Step {
    fn new(constant: &str, params: Params) -> Step {
        Step { event_type: EventInfo::of(constant).id, params }
    }

    /// Type and parameters in one list. A list of one text may be prose.
    pub fn of(list: &[Value]) -> Step {
        let (name, params) = list.split_first().unwrap();
        let name = name.as_str().unwrap();
        match name.split_once([' ', ':']) {
            Some(("PPME_SYSCALL_EXECVEAT_X", _)) => exec("PPME_SYSCALL_EXECVEAT_X", &[]),
            Some(("PPME_SYSCALL_EXECVE_19_X", rest)) => {
                let mut told = Vec::new();
                for key in ["filename", "comm", "trusted_exepath"] {
                    let (_, value) = rest.split_once(&format!("{key} ")).unwrap();
                    let quoted = value.strip_prefix('\'').and_then(|v| v.split_once('\''));
                    let value = quoted.map_or_else(|| value.split(' ').next().unwrap(), |(v, _)| v);
                    told.push((key, value));
                }
                exec("PPME_SYSCALL_EXECVE_19_X", &told)
            }
            _ => Step::named(name, params),
        }
    }

    pub fn named(constant: &str, values: &[Value]) -> Step {
        let info = EventInfo::of(constant);
        assert!(values.len() <= info.params.len(), "{constant}");
        let bytes = info.params.iter().zip(values).map(|(param, value)| encode(info, param, value));
        Step::new(constant, bytes.fold(Params::new(), |params, bytes| params.bytes(&bytes)))
    }
}

/// A successful execve or execveat of thread 1: numbers are 0 but for the ids.
fn exec(constant: &str, told: &[(&str, &str)]) -> Step {
    let info = EventInfo::of(constant);
    let params = info.params.iter().fold(Params::new(), |params, p| {
        let told = told.iter().find(|(name, _)| *name == p.name).map(|(_, value)| *value);
        match (p.name, p.kind.fixed_size()) {
            ("tid" | "pid", _) => params.i64(1),
            (_, Some(size)) => params.bytes(&vec![0; size]),
            ("trusted_exepath", None) if told.is_none() => params.empty(),
            (_, None) if p.kind == ParamType::CharBuf || p.kind == ParamType::FsPath => params.str(told.unwrap_or("")),
            (_, None) => params.empty(),
        }
    });
    Step::new(constant, params)
}

fn encode(info: &EventInfo, param: &ParamInfo, value: &Value) -> Vec<u8> {
    let hex = |key: &str| {
        let digits = value.get(key)?.as_str().unwrap();
        Some(
            (0..digits.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
                .collect::<Vec<_>>(),
        )
    };
    match (param.kind.fixed_size(), value) {
        (_, Value::Null) => Vec::new(),
        (Some(size), Value::Number(n)) => {
            let bytes = n.as_i64().map_or_else(|| n.as_u64().unwrap().to_le_bytes(), i64::to_le_bytes);
            bytes[..size].to_vec()
        }
        (Some(size), Value::String(names)) => match param.name {
            "type" => u64::from(SOCK_STREAM).to_le_bytes()[..size].to_vec(),
            _ => flag(info, param.name, names).to_le_bytes()[..size].to_vec(),
        },
        (None, Value::String(text)) => match param.kind {
            ParamType::SockAddr | ParamType::SockTuple => address(text),
            ParamType::ByteBuf => text.as_bytes().to_vec(),
            _ => [text.as_bytes(), b"\0"].concat(),
        },
        (None, Value::Object(_)) => hex("bytes").or_else(|| hex("cstr_hex").map(|b| [&b[..], b"\0"].concat())).unwrap(),
        other => panic!("{info}: {}: {other:?}", param.name),
    }
}

/// The value of flags by their names, some of which the file writes without their prefix.
fn flag(info: &EventInfo, param: &str, names: &str) -> u32 {
    let table = info.params.iter().find(|p| p.name == param).and_then(|p| p.flags).unwrap();
    let value = |name: &str| {
        let whole = format!("O_{name}");
        let found = table.entries.iter().find(|(n, _)| *n == name || *n == whole || *n == format!("FD_{name}"));
        u32::try_from(found.unwrap_or_else(|| panic!("{param} {name}: {table:?}")).1).unwrap()
    };
    names.split('|').map(value).fold(0, |all, one| all | one)
}

/// `addr S`, `sockaddr S`, `tuple C->S`: the ends that the comment above the rows describes.
fn address(text: &str) -> Vec<u8> {
    let (_, ends) = text.split_once(' ').unwrap();
    let v6 =
        |ip: &str, port: u16| (AF_INET6, [&ip.parse::<Ipv6Addr>().unwrap().octets()[..], &port.to_le_bytes()].concat());
    let v4 = |ip: [u8; 4], port: u16| (AF_INET, [&ip[..], &port.to_le_bytes()].concat());
    let mut bytes = Vec::new();
    for end in ends.split("->") {
        let (family, end) = match end {
            "C" => v4([172, 40, 111, 222], 54321),
            "S" => v4([142, 251, 111, 147], 443),
            "C6" => v6("::1", 54321),
            "S6" => v6("2001:4860:4860::8888", 443),
            other => panic!("{other}"),
        };
        if bytes.is_empty() {
            bytes.push(family);
        }
        bytes.extend(end);
    }
    bytes
}
