//! Revisions that may have been told to clients and are not durable: with asynchronous commit, a power cut takes the last ones with it.
//! Owns the numbers that keep a revision from ever being given twice. Pure.
//!
//! Problem: a transaction whose group waits for its sync is answered before it is durable. After a power cut the log ends before it, and
//! the next transaction would get its revision again, with other content: watchers and caches would never notice.
//!
//! Approach: before the first such answer, a durable record reserves all revisions up to one that is far ahead, and names the boot of the
//! machine. A start that finds the reserve of another boot cannot know how far the writer before it came. It goes on behind the reserve,
//! and is compacted there: who has heard of anything that may be lost is told to list again. In the same boot nothing is lost, because the
//! kernel has kept what was written; after a clean end nothing is either, and the record of it says so.
//!
//! Worked example: at revision 41 an event is written; `reserved 1000042` goes into its group, which is synced. Events 43 to 90 are
//! answered unsynced. The power goes, the log ends with 60. The next start is at revision 1000044, compacted at 1000044: a watcher that
//! has seen 90 and asks for 91, and even one that would ask for 1000043, is refused with "compacted".
//!
//! Limits: a volume that is torn from a machine which goes on running looks like the same boot.

use crate::mvcc::Revision;

/// So many revisions are reserved at once: one record for each million.
pub const AHEAD: Revision = 1_000_000;

/// One boot of a machine, by the kernel's own name for it (`/proc/sys/kernel/random/boot_id`, proc(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot(pub [u8; 16]);

impl Boot {
    /// Not known, and so never the same as before.
    pub const UNKNOWN: Boot = Boot([0; 16]);

    /// From the text of the kernel's file: hex digits with dashes between.
    pub fn parse(text: &str) -> Boot {
        let digits: String = text.trim().chars().filter(|&one| one != '-').collect();
        match u128::from_str_radix(&digits, 16) {
            Ok(number) if digits.len() == 32 => Boot(number.to_be_bytes()),
            Ok(_) | Err(_) => Boot::UNKNOWN,
        }
    }
}

/// Revisions up to `until` may have been given in that boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserve {
    pub until: Revision,
    pub boot: Boot,
}

impl Reserve {
    /// For a transaction of this revision and those behind it.
    pub fn from(revision: Revision, boot: Boot) -> Reserve {
        Reserve { until: revision.saturating_add(AHEAD), boot }
    }

    /// Nothing is outstanding at this revision.
    pub fn settled(revision: Revision, boot: Boot) -> Reserve {
        Reserve { until: revision, boot }
    }

    pub fn covers(&self, revision: Revision) -> bool {
        revision <= self.until
    }

    /// Where a store goes on whose log ends with `revision`, if some that were behind it may be lost. Two ahead: who has seen the last one
    /// that was reserved asks for the next, and has to be refused too.
    pub fn goes_on_at(&self, revision: Revision, now: Boot) -> Option<Revision> {
        let is_same_boot = self.boot == now && now != Boot::UNKNOWN;
        (!is_same_boot && self.until > revision).then(|| self.until.saturating_add(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THIS: Boot = Boot([7; 16]);
    const OTHER: Boot = Boot([8; 16]);

    #[test]
    fn a_start_goes_on_behind_what_may_be_lost() {
        let check = |reserve: Reserve, revision, now, expected| {
            assert_eq!(reserve.goes_on_at(revision, now), expected, "{reserve:?} {revision}");
        };
        check(Reserve { until: 100, boot: OTHER }, 60, THIS, Some(102));
        check(Reserve { until: 100, boot: THIS }, 60, THIS, None);
        check(Reserve::settled(60, OTHER), 60, THIS, None);
        check(Reserve { until: 100, boot: OTHER }, 100, THIS, None);
        check(Reserve { until: 100, boot: OTHER }, 140, THIS, None);
        check(Reserve { until: 100, boot: Boot::UNKNOWN }, 60, Boot::UNKNOWN, Some(102));
        check(Reserve::from(41, OTHER), 60, THIS, Some(41 + AHEAD + 2));
    }

    #[test]
    fn a_boot_is_read_as_the_kernel_writes_it() {
        let check = |text: &str, expected: Boot| assert_eq!(Boot::parse(text), expected, "{text}");
        let known = 0x0f1e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0_u128;
        check("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0\n", Boot(known.to_be_bytes()));
        for wrong in ["", "0f1e2d3c", "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0-00", "no boot at all"] {
            check(wrong, Boot::UNKNOWN);
        }
    }
}
