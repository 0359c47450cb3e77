//! What can be learnt of a guest that stands, before it is ended: where each CPU is, from QEMU's monitor, and the
//! kernel's list of tasks, to which an NMI makes it panic. Decides nothing; `qemu` says when a guest stands.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::qemu::{Workplace, last_lines};
use crate::place;

/// The monitor answers at once; on a busy host it waits for its turn like everybody.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// A list of some hundred tasks over an emulated serial line.
const PANIC_LIMIT: Duration = Duration::from_secs(30);

/// Where the monitor's answers go.
pub(super) fn monitor_output(place: &Workplace) -> anyhow::Result<File> {
    File::create(place.path("monitor")).context("create monitor")
}

/// Asks everything and makes the kernel panic; the answer is for the log. A guest on a terminal has no monitor and
/// gives its console only.
pub(super) fn examine(place: &Workplace, qemu: &mut Child) -> String {
    let (Some(registers), true) = (ask(place, qemu, "info registers -a"), order(qemu, "nmi"))
    else {
        return last_lines(place);
    };
    let before = last_lines(place);
    let began = Instant::now();
    while matches!(qemu.try_wait(), Ok(None)) && began.elapsed() < PANIC_LIMIT {
        thread::sleep(Duration::from_millis(100));
    }
    format!("--- its CPUs\n{}\n{before}\n{}", positions(&registers).join("\n"), keep_console(place))
}

fn order(qemu: &mut Child, order: &str) -> bool {
    qemu.stdin.as_mut().is_some_and(|monitor| writeln!(monitor, "{order}").is_ok())
}

/// The monitor's answer: what it says until it has been quiet for a moment.
fn ask(place: &Workplace, qemu: &mut Child, question: &str) -> Option<String> {
    let said = || fs::read(place.path("monitor")).unwrap_or_default();
    let before = said().len();
    if !order(qemu, question) {
        return None;
    }
    let (began, mut seen) = (Instant::now(), before);
    loop {
        thread::sleep(Duration::from_millis(300));
        let now = said();
        if now.len() > before && now.len() == seen || began.elapsed() > ANSWER_LIMIT {
            return Some(String::from_utf8_lossy(now.get(before..)?).into_owned());
        }
        seen = now.len();
    }
}

/// `CPU#3 RIP=ffffffff81a0b2c3 RFL=00000246 ...` for each CPU. Without a symbol table; the same kernel's own
/// /proc/kallsyms names them, for it is not moved (`nokaslr`).
fn positions(registers: &str) -> Vec<String> {
    let mut cpu = "";
    let mut found = Vec::new();
    for line in registers.lines().map(str::trim_end) {
        if line.starts_with("CPU#") {
            cpu = line;
        } else if line.starts_with("RIP=") {
            found.push(format!("{cpu} {line}"));
        }
    }
    found
}

/// The folder of the boot is gone after it, so the whole console is kept beside.
fn keep_console(place: &Workplace) -> String {
    let kept = place::target().join("vm-hang-console.txt");
    match fs::copy(place.path("console"), &kept) {
        Ok(_) => format!("--- the console with the list of tasks: {}", kept.display()),
        Err(error) => format!("--- the console was not kept in {}: {error}", kept.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::positions;

    #[test]
    fn each_cpu_is_shown_where_it_stands() {
        let answer = "(qemu) info registers -a\r\n\r\nCPU#0\r\nRAX=1 RBX=2\r\n\
            RIP=ffffffff81000000 RFL=00000246 [---Z-P-]\r\nES =0000\r\n\r\nCPU#1\r\n\
            RIP=0000000000401000 RFL=00000202\r\n(qemu) ";
        assert_eq!(
            positions(answer),
            [
                "CPU#0 RIP=ffffffff81000000 RFL=00000246 [---Z-P-]",
                "CPU#1 RIP=0000000000401000 RFL=00000202"
            ]
        );
        assert_eq!(positions(""), Vec::<String>::new());
    }
}
