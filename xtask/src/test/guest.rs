//! Cases on a real kernel: which ones a guest is booted for, and what became of them. The guest itself is `vm`'s.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

use super::build::TEST_BINARY;
use super::libtest::{self, Tally};
use super::tier::{LONG, with_breakage};
use crate::vm::{self, Clock, Guest, Kernel, Stood, Stream};

/// Long enough for every case at four times its quiet time; a hang is found, a busy machine is not punished.
const VM_LIMIT: Duration = Duration::from_secs(12 * 60);
/// The same for the long ones.
const LONG_LIMIT: Duration = Duration::from_secs(30 * 60);
/// For one case. Every wait in a case ends after 30 s with a message; the longest case takes 40 s on a quiet host.
const CASE_LIMIT: Duration = Duration::from_secs(240);

/// A guest unlike the others, and the cases that need it: those with a certain word in their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    /// Booted with `psi=0`: no pressure stall information.
    NoPsi,
    /// In virtual time: for measurements that must not depend on how busy the host is.
    Exact,
}

impl Special {
    const ALL: [Special; 2] = [Special::NoPsi, Special::Exact];

    const fn word(self) -> &'static str {
        match self {
            Special::NoPsi => "nopsi_",
            Special::Exact => "exact_",
        }
    }

    fn equip(self, guest: &mut Guest) {
        match self {
            Special::NoPsi => guest.parameters.push("psi=0".to_owned()),
            Special::Exact => guest.clock = Clock::Virtual,
        }
    }
}

/// The cases to run in one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cases {
    /// All but the long ones and those of a special guest.
    All,
    /// Those whose name contains `smoke_`.
    Smoke,
    /// Those whose name contains `soak_`, for `cargo xtask soak long`.
    Long,
    /// All of a special guest.
    Of(Special),
    /// Those whose name contains this.
    Named(String),
}

impl Cases {
    /// Every case of `test`, a guest each.
    pub(crate) fn every() -> Vec<Cases> {
        [Cases::All].into_iter().chain(Special::ALL.map(Cases::Of)).collect()
    }

    /// The guest that these cases need, if it is no ordinary one.
    fn special(&self) -> Option<Special> {
        match self {
            Cases::All | Cases::Smoke | Cases::Long => None,
            Cases::Of(special) => Some(*special),
            Cases::Named(part) => Special::ALL.into_iter().find(|it| part.contains(it.word())),
        }
    }

    /// Arguments of the test binary.
    fn choice(&self) -> Vec<&str> {
        let mut choice = match self {
            Cases::All => vec!["--skip", LONG],
            Cases::Smoke => vec!["smoke_"],
            Cases::Long => vec![LONG],
            Cases::Of(special) => vec![special.word()],
            Cases::Named(part) if part.contains(LONG) => vec![part.as_str()],
            Cases::Named(part) => vec![part.as_str(), "--skip", LONG],
        };
        let others = Special::ALL.into_iter().filter(|it| Some(*it) != self.special());
        choice.extend(others.flat_map(|it| ["--skip", it.word()]));
        choice
    }
}

/// Whether what a guest says is shown at once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    Now,
    Later,
}

/// Cases on the real kernel, all in one boot.
pub(super) fn vm(
    files: &[(PathBuf, String)],
    kernel: Kernel,
    cases: &Cases,
    out: &Path,
) -> anyhow::Result<Tally> {
    Boot { files, kernel, cases, out, show: Show::Now }.run().map(|(tally, _)| tally)
}

/// The cases in virtual time beside something else: they do not mind who computes too, and their guest has one CPU.
pub(super) struct Beside(thread::JoinHandle<anyhow::Result<(Tally, String)>>);

impl Beside {
    pub(super) const CASES: Cases = Cases::Of(Special::Exact);

    pub(super) fn begin(files: Vec<(PathBuf, String)>, kernel: Kernel, out: PathBuf) -> Beside {
        Beside(thread::spawn(move || {
            let (files, cases, out) = (&files[..], &Beside::CASES, out.as_path());
            Boot { files, kernel, cases, out, show: Show::Later }.run()
        }))
    }

    /// Waits for its end, and shows all that it has said.
    pub(super) fn end(self) -> anyhow::Result<Tally> {
        let ended = self.0.join();
        let (tally, said) = ended.map_err(|_panic| anyhow::anyhow!("its thread panicked"))??;
        println!("{said}");
        Ok(tally)
    }
}

/// What a guest with some cases is made of.
struct Boot<'a> {
    files: &'a [(PathBuf, String)],
    kernel: Kernel,
    cases: &'a Cases,
    out: &'a Path,
    show: Show,
}

/// What became of a guest, with all that it has said.
struct Seen {
    said: String,
    outcome: Outcome,
}

enum Outcome {
    Passed,
    Failed,
    /// The case that was running, if one was.
    Stood(Option<String>),
}

impl Boot<'_> {
    /// All cases once more where the guest stands: an emulated CPU that idles is, rarely, not woken any more. It is told at the end, so that
    /// a case which makes guests stand is seen. The second guest has to go on.
    fn run(&self) -> anyhow::Result<(Tally, String)> {
        let mut seen = self.once()?;
        let mut remarks = Vec::new();
        if let Outcome::Stood(case) = &seen.outcome {
            let series = self.kernel.series();
            let case = case.as_deref().unwrap_or("no case");
            remarks.push(format!("vm {series}: a guest stood in {case}; its cases ran once more"));
            seen = self.once()?;
        }
        let succeeded = matches!(seen.outcome, Outcome::Passed);
        let who = format!("vm {}: the test binary", self.kernel.series());
        let tally = with_breakage(libtest::read(&seen.said), succeeded, &who);
        Ok((Tally { remarks, ..with_cases(tally, self.cases) }, seen.said))
    }

    fn once(&self) -> anyhow::Result<Seen> {
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let ended = vm::boot(&self.guest(), &mut |stream, bytes| {
            if self.show == Show::Now {
                vm::pass_through(stream, bytes);
            }
            match stream {
                Stream::Stdout => output.extend_from_slice(bytes),
                Stream::Stderr => errors.extend_from_slice(bytes),
            }
        });
        std::io::stdout().flush().context("write to stdout")?;
        let output = String::from_utf8_lossy(&output);
        let outcome = match ended {
            Ok(ended) if ended.exit_code == 0 => Outcome::Passed,
            Ok(_) => Outcome::Failed,
            Err(error) => self.broken(&error, libtest::running(&output)),
        };
        Ok(Seen { said: format!("{output}\n{}", String::from_utf8_lossy(&errors)), outcome })
    }

    fn broken(&self, error: &anyhow::Error, running: Option<&str>) -> Outcome {
        let series = self.kernel.series();
        println!("\nvm {series}: {error:#}");
        if let Some(case) = running {
            println!("vm {series}: {case} was running and did not end");
        }
        match error.is::<Stood>() {
            true => Outcome::Stood(running.map(str::to_owned)),
            false => Outcome::Failed,
        }
    }

    fn guest(&self) -> Guest {
        let mut guest = Guest::new(&[TEST_BINARY, "--test-threads=1", "--color=never"]);
        guest.command.extend(self.cases.choice().into_iter().map(str::to_owned));
        guest.kernel = self.kernel;
        guest.files = self.files.to_vec();
        if let Some(special) = self.cases.special() {
            special.equip(&mut guest);
        }
        guest.timeout = if *self.cases == Cases::Long { LONG_LIMIT } else { VM_LIMIT };
        guest.silence = Some(CASE_LIMIT);
        guest.out = Some(self.out.join(self.kernel.series()));
        guest
    }
}

/// A choice of ours that chooses nothing is a mistake of ours; a person's may match in another tier.
fn with_cases(mut tally: Tally, cases: &Cases) -> Tally {
    let is_ours = !matches!(cases, Cases::Named(_));
    if is_ours && tally.passed + tally.failed + tally.skipped == 0 {
        println!("{cases:?} are no cases at all; this counts as one failure");
        tally.failed = 1;
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::{Cases, Special, Tally, with_cases};

    #[track_caller]
    fn check(cases: &Cases, arguments: &str, special: Option<Special>) {
        assert_eq!(cases.choice().join(" "), arguments);
        assert_eq!(cases.special(), special);
    }

    #[test]
    fn a_set_of_cases_without_a_case_fails() {
        let one = Tally { passed: 1, ..Tally::default() };
        assert_eq!(with_cases(Tally::default(), &Cases::Long).failed, 1);
        assert_eq!(with_cases(Tally::default(), &Cases::Of(Special::NoPsi)).failed, 1);
        assert_eq!(with_cases(Tally::default(), &Cases::Named("x".to_owned())).failed, 0);
        assert_eq!(with_cases(one, &Cases::Long).failed, 0);
    }

    #[test]
    fn a_case_runs_in_the_guest_it_needs() {
        let named = |part: &str| Cases::Named(part.to_owned());
        let no_psi = Some(Special::NoPsi);
        check(&Cases::All, "--skip soak_ --skip nopsi_ --skip exact_", None);
        check(&Cases::Of(Special::Exact), "exact_ --skip nopsi_", Some(Special::Exact));
        check(&named("nopsi_doctor"), "nopsi_doctor --skip soak_ --skip exact_", no_psi);
        check(&named("agent_"), "agent_ --skip soak_ --skip nopsi_ --skip exact_", None);
        check(&named("soak_a"), "soak_a --skip nopsi_ --skip exact_", None);
    }
}
