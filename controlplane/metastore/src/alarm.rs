//! When a store has no room: what counts against its quota, who raised alarm NOSPACE, and when it is over. Pure; what is refused then and
//! where the alarm is kept is the store's.
//!
//! Live bytes count: key, value and [`VERSION_BYTES`] of every version that is kept, deleted keys until they are compacted, and every
//! lease. The size of the log does not: it has room reserved, and is given back later than what it is asked for.
//!
//! Other than in etcd an alarm that the store has raised itself is over by itself. There an operator has to defragment anyway, and disarms
//! when he has; here deleting and compacting is all, and a store that stayed closed after it would wait for a person for nothing. One that
//! a client has raised stays until a client takes it back.

use proto::etcd::etcdserverpb::request_op::Request;
use proto::etcd::etcdserverpb::{PutRequest, RequestOp, TxnRequest};

/// Why alarm NOSPACE is raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody asked for it.
    Client,
    Quota,
    Disk,
}

/// What a version takes beside key and value: its numbers in the index, in the log and in a checkpoint.
pub const VERSION_BYTES: u64 = 64;
/// etcd counts as much.
pub const LEASE_BYTES: u64 = 64;
/// etcd's for each key that is put, so that a request near the quota is answered as there.
const PUT_BYTES: u64 = 256;

/// The room there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    pub live_bytes: u64,
    /// 0 for none.
    pub quota_bytes: u64,
    /// Of the disk; `None` where nobody knows.
    pub free_bytes: Option<u64>,
    /// So much must be free that compaction, checkpoints and the alarm itself can still be written.
    pub least_free_bytes: u64,
}

impl Room {
    /// Why so many bytes more are not taken. Nothing more is always taken: deletions have to go on.
    pub fn lack(&self, cost_bytes: u64) -> Option<Cause> {
        if cost_bytes == 0 {
            return None;
        }
        if self.is_disk_full() {
            return Some(Cause::Disk);
        }
        let wanted = self.live_bytes.saturating_add(cost_bytes);
        (self.quota_bytes > 0 && wanted >= self.quota_bytes).then_some(Cause::Quota)
    }

    pub fn is_disk_full(&self) -> bool {
        self.free_bytes.is_some_and(|free| free < self.least_free_bytes)
    }

    /// Whether an alarm is over, with room enough between that it does not come and go with every write.
    pub fn is_over(&self, cause: Cause) -> bool {
        let has_quota = self.quota_bytes == 0 || self.live_bytes < self.quota_bytes / 10 * 9;
        let wanted = self.least_free_bytes + self.least_free_bytes / 4;
        let has_disk = self.free_bytes.is_none_or(|free| free >= wanted);
        cause != Cause::Client && has_quota && has_disk
    }
}

/// What a transaction may add: the larger one of its branches, puts only.
pub fn cost(request: &TxnRequest) -> u64 {
    let of = |ops: &[RequestOp]| ops.iter().map(cost_of_op).sum::<u64>();
    of(&request.success).max(of(&request.failure))
}

fn cost_of_op(op: &RequestOp) -> u64 {
    match &op.request {
        Some(Request::RequestPut(put)) => cost_of_put(put),
        Some(Request::RequestTxn(inner)) => cost(inner),
        _ => 0,
    }
}

/// The key that apiservers agree by on who compacts. Its few digits are let through: in an etcd with an alarm apiservers compact no more,
/// so that what they delete gives no room.
pub const COMPACT_REV_KEY: &[u8] = b"compact_rev_key";
/// A revision in decimal is shorter.
const REVISION_BYTES: usize = 20;

fn cost_of_put(put: &PutRequest) -> u64 {
    if *put.key == *COMPACT_REV_KEY && put.value.len() <= REVISION_BYTES {
        return 0;
    }
    PUT_BYTES + (put.key.len() + put.value.len()) as u64
}

/// As the log has it; 0 is no alarm.
pub fn number(cause: Option<Cause>) -> i64 {
    match cause {
        None => 0,
        Some(Cause::Client) => 1,
        Some(Cause::Quota) => 2,
        Some(Cause::Disk) => 3,
    }
}

/// A number that is not known is an alarm that somebody has to take back.
pub fn of_number(number: i64) -> Option<Cause> {
    match number {
        0 => None,
        2 => Some(Cause::Quota),
        3 => Some(Cause::Disk),
        _ => Some(Cause::Client),
    }
}

#[cfg(test)]
mod tests;
