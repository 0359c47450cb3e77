//! What an agent that died left in the files of a node that is only to be observed: its originals are
//! put back at once. Owns the order to the lanes, and what people are told of it; putting back is the
//! lanes'.

use std::sync::mpsc::{Receiver, sync_channel};

use actuator::lane::Order;
use actuator::{LaneHandle, Restored};
use model::plan::{Finding, Severity};
use tracing::{info, warn};

/// The changes that were found.
#[derive(Debug, Default)]
pub struct Inherited {
    n_found: usize,
    waiting: Vec<Receiver<Restored>>,
    restored: Restored,
}

impl Inherited {
    /// Tells the lanes to put back `n_found` files.
    pub fn put_back(n_found: usize, lanes: [&LaneHandle; 2]) -> Inherited {
        let mut inherited = Inherited { n_found, ..Inherited::default() };
        if n_found == 0 {
            return inherited;
        }
        info!(files = n_found, "Putting back what an agent that died had changed");
        for lane in lanes {
            let (reply, restored) = sync_channel(1);
            // A lane that has just started takes an order; if it does not, its end is seen below.
            let _ = lane.send(Order::Restore(reply));
            inherited.waiting.push(restored);
        }
        inherited
    }

    /// For as long as this agent lives: an operator who looks tomorrow should know of it, too.
    pub fn finding(&mut self) -> Option<Finding> {
        if self.n_found == 0 {
            return None;
        }
        let n_waiting = self.waiting.len();
        let restored = &mut self.restored;
        self.waiting.retain(|lane| match lane.try_recv() {
            Ok(part) => {
                restored.written += part.written;
                restored.gone += part.gone;
                restored.failures.extend(part.failures);
                false
            }
            Err(error) => error == std::sync::mpsc::TryRecvError::Empty,
        });
        if n_waiting > 0 && self.waiting.is_empty() {
            self.log();
        }
        Some(told(self.n_found, !self.waiting.is_empty(), &self.restored))
    }

    fn log(&self) {
        let Restored { written, gone, failures } = &self.restored;
        match failures.len() {
            0 => info!(written, gone, "What an agent that died had changed is back"),
            failed => warn!(written, gone, failed, "Not everything could be put back"),
        }
    }
}

pub(crate) fn told(n_found: usize, is_under_way: bool, restored: &Restored) -> Finding {
    let by = "an agent that died had changed, and this one only observes";
    let (severity, message) = match restored.failures.first() {
        _ if is_under_way => (Severity::Note, format!("{n_found} files are being put back: {by}")),
        None => {
            let Restored { written, gone, .. } = restored;
            let gone = match gone {
                0 => String::new(),
                gone => format!(" and {gone} were of cgroups that are gone"),
            };
            (Severity::Note, format!("{written} files were put back{gone}: {by}"))
        }
        Some(first) => {
            let n_failed = restored.failures.len();
            let message = format!(
                "{n_failed} of {n_found} files were not put back, it is tried again when this agent ends; the first: {}",
                first.message
            );
            (Severity::Warning, message)
        }
    };
    Finding { severity, rule: "inherited-changes", subject: "node".to_owned(), message }
}

#[cfg(test)]
mod tests {
    use model::plan::{FailureKind, StepFailure};

    use super::*;

    #[track_caller]
    fn check(n_found: usize, is_under_way: bool, restored: Restored, expect: (Severity, &str)) {
        let finding = told(n_found, is_under_way, &restored);
        assert_eq!((finding.severity, finding.message.as_str()), expect);
    }

    #[test]
    fn the_finding_says_what_came_of_it() {
        let nothing = Restored::default;
        let by = "an agent that died had changed, and this one only observes";
        let text = format!("4 files are being put back: {by}");
        check(4, true, nothing(), (Severity::Note, &text));
        let text = format!("4 files were put back: {by}");
        check(4, false, Restored { written: 4, ..nothing() }, (Severity::Note, &text));
        let text = format!("3 files were put back and 1 were of cgroups that are gone: {by}");
        check(4, false, Restored { written: 3, gone: 1, ..nothing() }, (Severity::Note, &text));
        let failures = vec![StepFailure {
            kind: FailureKind::Denied,
            errno: Some(13),
            message: "/batch/one/cpu.max refused \"max\"".to_owned(),
        }];
        let text = "1 of 4 files were not put back, it is tried again when this agent ends; the first: \
                    /batch/one/cpu.max refused \"max\"";
        check(4, false, Restored { written: 3, gone: 0, failures }, (Severity::Warning, text));
    }

    #[test]
    fn nothing_found_is_nothing_told() {
        assert_eq!(Inherited::default().finding(), None);
    }
}
