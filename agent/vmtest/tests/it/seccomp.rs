//! A child without bpf(2), as container runtimes leave it: their default profiles answer EPERM. No tests here.
#![expect(unsafe_code, reason = "rustix cannot install a seccomp filter, and pre_exec is unsafe")]

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// `struct sock_filter` of linux/filter.h.
#[repr(C)]
struct Filter {
    code: u16,
    jump_true: u8,
    jump_false: u8,
    k: u32,
}

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    len: u16,
    filters: *const Filter,
}

/// Number of bpf(2) on x86_64, the only machine the guests are.
const SYS_BPF: u32 = 321;
const EPERM: u32 = 1;
/// BPF_LD | BPF_W | BPF_ABS, of `struct seccomp_data`, whose first word is the number of the call.
const LOAD: u16 = 0x20;
/// BPF_JMP | BPF_JEQ | BPF_K
const JUMP_IF_EQUAL: u16 = 0x15;
/// BPF_RET | BPF_K
const RETURN: u16 = 0x06;
const SECCOMP_RET_ERRNO: u32 = 0x0005_0000;
const SECCOMP_RET_ALLOW: u32 = 0x7fff_0000;
const PR_SET_SECCOMP: i32 = 22;
const SECCOMP_MODE_FILTER: usize = 2;

static WITHOUT_BPF: [Filter; 4] = [
    Filter { code: LOAD, jump_true: 0, jump_false: 0, k: 0 },
    Filter { code: JUMP_IF_EQUAL, jump_true: 0, jump_false: 1, k: SYS_BPF },
    Filter { code: RETURN, jump_true: 0, jump_false: 0, k: SECCOMP_RET_ERRNO | EPERM },
    Filter { code: RETURN, jump_true: 0, jump_false: 0, k: SECCOMP_RET_ALLOW },
];

/// The program and all its children get EPERM from bpf(2); every capability stays.
pub(crate) fn without_bpf(mut command: Command) -> Command {
    // SAFETY: between fork and exec `deny` makes one system call and touches no memory but its own frame and a static.
    unsafe { command.pre_exec(deny) };
    command
}

fn deny() -> io::Result<()> {
    // SAFETY: the C library's own declaration; prctl takes as many further words as the option asks for.
    unsafe extern "C" {
        fn prctl(option: i32, ...) -> i32;
    }
    let program = Program { len: 4, filters: WITHOUT_BPF.as_ptr() };
    // SAFETY: the kernel copies the filters during the call, and both live longer than that.
    match unsafe { prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &raw const program) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
