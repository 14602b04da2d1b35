//! System calls made exactly as asked: the libc wrappers may make others, or change arguments.
//!
//! All of this test's unsafe code is here.

use std::arch::{asm, global_asm};

/// Makes one native system call. Gives what the kernel returns: a result, or minus the error number.
///
/// The callers pass numbers, and pointers to buffers they own and keep; a call that would hurt this process
/// (unmapping what it uses, say) is not made by any row.
pub fn call(nr: i64, a: &[i64]) -> i64 {
    let arg = |i: usize| a.get(i).copied().unwrap_or(0);
    let ret;
    // SAFETY: the instruction clobbers rax, rcx and r11 only; memory is declared as changed (no `nomem`).
    unsafe {
        asm!("syscall", inlateout("rax") nr => ret,
            in("rdi") arg(0), in("rsi") arg(1), in("rdx") arg(2),
            in("r10") arg(3), in("r8") arg(4), in("r9") arg(5),
            lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    ret
}

/// Makes one 32-bit system call (`int 0x80`) from 64-bit code. Arguments are cut to 32 bits.
///
/// Gives -ENOSYS (-38) or dies by SIGSEGV where the kernel has no 32-bit calls; callers look first.
pub fn call32(nr: i32, a: &[u32]) -> i32 {
    let arg = |i: usize| u64::from(a.get(i).copied().unwrap_or(0));
    let ret: i64;
    // SAFETY: rbx may not be named as an operand, so it is swapped in and out; r8 to r11 are declared changed.
    unsafe {
        asm!("xchg rbx, {b}", "int 0x80", "xchg rbx, {b}", b = inout(reg) arg(0) => _,
            inlateout("rax") i64::from(nr) => ret,
            in("rcx") arg(1), in("rdx") arg(2), in("rsi") arg(3), in("rdi") arg(4),
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _);
    }
    ret as i32
}

global_asm!(
    // Registers: nr, a0..a3 in rdi, rsi, rdx, rcx, r8. The child calls nothing but exit, and touches no stack.
    ".globl scapkit_spawn_exit",
    "scapkit_spawn_exit:",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov rsi, rdx",
    "mov rdx, rcx",
    "mov r10, r8",
    "xor r8d, r8d",
    "xor r9d, r9d",
    "syscall",
    "test rax, rax",
    "jnz 1f",
    "mov edi, 7",
    "mov eax, 60", // exit
    "syscall",
    "1: ret",
    // Program, arguments, environment in rdi, rsi, rdx. The child touches no stack either.
    ".globl scapkit_vfork_exec",
    "scapkit_vfork_exec:",
    "pop r8",      // the child shares the stack: the return address is kept in a register
    "mov eax, 58", // vfork
    "syscall",
    "test rax, rax",
    "jnz 1f",
    "mov eax, 59", // execve
    "syscall",
    "mov edi, 99",
    "mov eax, 60", // exit
    "syscall",
    "1: jmp r8",
);

unsafe extern "C" {
    fn scapkit_spawn_exit(nr: i64, a0: i64, a1: i64, a2: i64, a3: i64) -> i64;
    fn scapkit_vfork_exec(program: *const libc::c_char, argv: *const i64, env: *const i64) -> i64;
}

/// vfork, and execve in the child: it runs in this process's memory until then, and calls nothing else. The vectors end
/// with 0.
pub fn vfork_exec(program: &std::ffi::CStr, argv: &[i64], env: &[i64]) -> i64 {
    // SAFETY: keeps to the C calling convention (it leaves by a jump to where it was called from).
    unsafe { scapkit_vfork_exec(program.as_ptr(), argv.as_ptr(), env.as_ptr()) }
}

/// Makes a call of the clone family whose child at once calls `exit(7)` and nothing else. It may share memory
/// (vfork, threads): it uses no stack.
pub fn spawn_exit(nr: i64, a: &[i64]) -> i64 {
    let arg = |i: usize| a.get(i).copied().unwrap_or(0);
    // SAFETY: keeps to the C calling convention; the child never returns from it.
    unsafe { scapkit_spawn_exit(nr, arg(0), arg(1), arg(2), arg(3)) }
}

/// The bytes at an address that this process owns, for comparison after a call wrote them.
pub fn bytes_at(addr: i64, len: usize) -> Vec<u8> {
    // SAFETY: callers pass addresses of memory that they mapped and that is readable.
    unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<u8>(addr as usize), len) }.to_vec()
}

/// Writes bytes at an address that this process owns.
pub fn store(addr: i64, bytes: &[u8]) {
    // SAFETY: callers pass addresses of memory that they mapped writable and that nothing else refers to.
    unsafe {
        std::ptr::with_exposed_provenance_mut::<u8>(addr as usize)
            .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
    }
}

/// Reads one byte, and so makes its page be there. For page faults.
pub fn touch(addr: i64) -> u8 {
    // SAFETY: as in `bytes_at`.
    unsafe { std::ptr::with_exposed_provenance::<u8>(addr as usize).read_volatile() }
}

/// Writes one byte by an instruction of this program (not of the C library).
pub fn poke(addr: i64, byte: u8) {
    // SAFETY: as in `store`.
    unsafe { std::ptr::with_exposed_provenance_mut::<u8>(addr as usize).write_volatile(byte) }
}

/// An address in this program's code.
pub fn code_address() -> u64 {
    touch as *const () as u64
}

extern "C" fn nothing(_signal: i32) {}

/// Has a signal delivered to a function that does nothing.
pub fn handle(signal: i32) {
    // SAFETY: the function touches nothing.
    let before = unsafe { libc::signal(signal, nothing as *const () as libc::sighandler_t) };
    assert_ne!(before, libc::SIG_ERR, "signal {signal}");
}
