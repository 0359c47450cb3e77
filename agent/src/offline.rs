//! Subcommands that need no node: `plan` from a document and `replay` of a recording. Reads files,
//! prints; what is decided is `sim`'s and `advisor`'s.

use std::collections::VecDeque;
use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, bail};
use model::policy::Policy;
use sim::replay::{Ran, Replay, Told};
use state::recording::{Damage, Lines};

use crate::config;

/// Entries shown before the first difference.
const CONTEXT: usize = 3;

/// Prints the Plan, decisions, findings and Steps that follow from a document.
pub fn plan(file: &Path, policy: &Policy) -> anyhow::Result<()> {
    let document = config::read_text(file).with_context(|| format!("read {}", file.display()))?;
    let text =
        sim::plan_from(document.as_bytes(), policy).with_context(|| file.display().to_string())?;
    print(&text)
}

/// What to do with a recording.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplayArgs {
    /// Print this entry with everything that follows from it, and stop.
    pub step: Option<u64>,
    /// Print every difference, not the first alone.
    pub diff: bool,
}

/// Runs a recording again; `false` when a decision came out differently.
pub fn replay(file: &Path, args: ReplayArgs) -> anyhow::Result<bool> {
    let lines = Lines::open(file).with_context(|| format!("read {}", file.display()))?;
    let mut replay = Replay::default();
    let mut before = VecDeque::new();
    for line in lines {
        let at = || format!("{}: line at byte {}", file.display(), line.offset);
        let json = match &line.json {
            Ok(json) => json,
            Err(Damage::Torn) => {
                print(&format!("the last line, at byte {}, is cut off\n", line.offset))?;
                break;
            }
            Err(damage) => bail!("{}: {damage}", at()),
        };
        let told = match replay.line(json).with_context(at)? {
            Ran::Head(_) => continue,
            Ran::Gap(lost) => {
                print(&format!("{lost} entries were not recorded here\n"))?;
                continue;
            }
            Ran::Entry(told) => told,
        };
        if args.step == Some(told.n) {
            return print(&step(&told)).map(|()| told.is_same());
        }
        if !told.is_same() {
            print(&context(&before, &told))?;
            if !args.diff {
                return Ok(false);
            }
        }
        before.push_back(format!("  entry {}: {}\n", told.n, told.what));
        if before.len() > CONTEXT {
            before.pop_front();
        }
    }
    if let Some(step) = args.step {
        bail!("{}: there is no entry {step}", file.display());
    }
    closing(&replay)
}

fn closing(replay: &Replay) -> anyhow::Result<bool> {
    let tally = replay.tally;
    if tally.n_entries == 0 {
        bail!("the recording is empty");
    }
    print(&format!(
        "{} entries, {} decisions: {}\n",
        tally.n_entries,
        tally.n_decisions,
        match tally.n_different {
            0 => "all the same".to_owned(),
            n => format!("{n} entries differ"),
        }
    ))?;
    Ok(tally.n_different == 0)
}

fn context(before: &VecDeque<String>, told: &Told) -> String {
    let before: String = before.iter().map(String::as_str).collect();
    format!("{before}{}", told.difference())
}

fn step(told: &Told) -> String {
    let mut text = told.difference();
    for finding in &told.effects.findings {
        text += &format!(
            "finding {:?}  {}: {}  [{}]\n",
            finding.severity, finding.subject, finding.message, finding.rule
        );
    }
    for step in told.effects.fast.iter().chain(&told.effects.slow) {
        text += &format!("step {step}\n");
    }
    text
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // `| head` has gone: nobody's failure.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("print the result"),
    }
}

#[cfg(test)]
mod tests;
