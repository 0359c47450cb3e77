//! The BPF side of Berth: the programs' entry points and nothing else. Each scheduler event has a
//! BTF-typed program and a raw tracepoint twin for kernels that refuse the first kind; user space
//! loads one of the two. What happens at an event is in `wake` and `switch`.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod burst;
mod kernel;
mod maps;
mod switch;
mod wait;
mod wake;

use aya_ebpf::macros::{btf_tracepoint, raw_tracepoint};
use aya_ebpf::programs::{BtfTracePointContext, RawTracePointContext};

use kernel::{Direct, Probed};

#[btf_tracepoint(function = "sched_waking")]
pub fn btf_waking(ctx: BtfTracePointContext) -> i32 {
    wake::on_waking::<Direct>(ctx.arg(0));
    0
}

#[btf_tracepoint(function = "sched_wakeup")]
pub fn btf_wakeup(ctx: BtfTracePointContext) -> i32 {
    wake::on_wakeup::<Direct>(ctx.arg(0));
    0
}

#[btf_tracepoint(function = "sched_wakeup_new")]
pub fn btf_wakeup_new(ctx: BtfTracePointContext) -> i32 {
    wake::on_wakeup_new::<Direct>(ctx.arg(0));
    0
}

#[btf_tracepoint(function = "sched_switch")]
pub fn btf_switch(ctx: BtfTracePointContext) -> i32 {
    switch::on_switch::<Direct>(ctx.arg(1), ctx.arg(2));
    0
}

#[btf_tracepoint(function = "cgroup_attach_task")]
pub fn btf_attach(_ctx: BtfTracePointContext) -> i32 {
    wake::on_cgroup_attach();
    0
}

#[btf_tracepoint(function = "hrtimer_expire_entry")]
pub fn btf_timer(_ctx: BtfTracePointContext) -> i32 {
    burst::on_timer();
    0
}

#[raw_tracepoint(tracepoint = "sched_waking")]
pub fn raw_waking(ctx: RawTracePointContext) -> i32 {
    wake::on_waking::<Probed>(ctx.arg(0));
    0
}

#[raw_tracepoint(tracepoint = "sched_wakeup")]
pub fn raw_wakeup(ctx: RawTracePointContext) -> i32 {
    wake::on_wakeup::<Probed>(ctx.arg(0));
    0
}

#[raw_tracepoint(tracepoint = "sched_wakeup_new")]
pub fn raw_wakeup_new(ctx: RawTracePointContext) -> i32 {
    wake::on_wakeup_new::<Probed>(ctx.arg(0));
    0
}

#[raw_tracepoint(tracepoint = "sched_switch")]
pub fn raw_switch(ctx: RawTracePointContext) -> i32 {
    switch::on_switch::<Probed>(ctx.arg(1), ctx.arg(2));
    0
}

#[raw_tracepoint(tracepoint = "cgroup_attach_task")]
pub fn raw_attach(_ctx: RawTracePointContext) -> i32 {
    wake::on_cgroup_attach();
    0
}

#[raw_tracepoint(tracepoint = "hrtimer_expire_entry")]
pub fn raw_timer(_ctx: RawTracePointContext) -> i32 {
    burst::on_timer();
    0
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

// bpf_probe_read_kernel is for GPL-compatible programs only; the kernel knows this dual tag.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
