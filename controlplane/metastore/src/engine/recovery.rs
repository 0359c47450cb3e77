//! What is done when a folder is opened: whose it is, whether all segments are there, where the log ends. Owns the rules by which bytes at
//! the end are dropped or the folder is refused; see docs/metastore-format.md.
//!
//! The writer syncs every group before it writes the next, but for deferred ones, which the next sync covers. So an invalid group with
//! nothing but deferred ones after it, and at the very end perhaps one that was to cover them, was never acknowledged as durable and is
//! erased with them; one with a durable group after it was, and is damaged, and then nothing is touched.

use std::fmt::Debug;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::checkpoint::{self, Kept, TEMPORARY_SUFFIX};
use super::disk::{Disk, DiskFile, LOCK_FILE, read_exact_at};
use super::frame::{self, FORMAT_FILE, Invalid, Kind, READS_VERSIONS, StoreId};
use super::segment::{FINISHED_BYTES, Found, Row, Segment, Walk};
use super::{EngineError, Epoch, Lsn};

const FORMAT_WORD: &str = "berth-metastore-log";

/// What unused room is compared with; large enough that calls do not count.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// What an operator may want to know about a start.
#[derive(Debug)]
pub struct Opened {
    pub oldest: Lsn,
    pub head: Lsn,
    /// The writer before ended by `close`.
    pub clean: bool,
    /// Where bytes of a group that was never acknowledged were erased.
    pub dropped: Option<Lsn>,
    /// Checkpoints that cannot be used. Later ones or the log itself take their place.
    pub unusable: Vec<EngineError>,
}

pub(super) struct Recovered {
    pub(super) lock: Box<dyn Debug + Send + Sync>,
    pub(super) store: StoreId,
    pub(super) row: Row,
    pub(super) epoch: Epoch,
    /// Usable ones, oldest first.
    pub(super) checkpoints: Vec<Kept>,
    pub(super) opened: Opened,
}

pub(super) fn open(disk: &dyn Disk, segment_bytes: u64) -> Result<Recovered, EngineError> {
    let folder = disk.path("");
    refuse_foreign(disk)?;
    let lock = disk.lock().map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => EngineError::Locked { folder: folder.clone() },
        _ => EngineError::Io { operation: "lock", path: disk.path(LOCK_FILE), source },
    })?;
    // Again under the lock: another process may have just made it, or may have been about to.
    let names = refuse_foreign(disk)?;
    let store = if names.iter().any(|name| name == FORMAT_FILE) {
        read_format(disk)?
    } else {
        create(disk, segment_bytes).map_err(EngineError::io("create a log in", &folder))?
    };
    remove_temporaries(disk).map_err(EngineError::io("clean", &folder))?;
    let names = list(disk)?;
    let (checkpoints, unusable) = look_at_checkpoints(disk, store, &names);
    let row = open_row(disk, &names)?;
    check_begin(disk, &row, checkpoints.last())?;
    let newest = checkpoints.last().copied();
    let scanned = scan(disk, store, &row, newest)?;
    let last = row.last().expect("invariant: a row is never empty");
    let dropped = finish_tail(last, store, &scanned)?;
    let opened = Opened {
        oldest: row[0].base,
        head: scanned.head,
        clean: scanned.last_kind == Some(Kind::Seal),
        dropped,
        unusable,
    };
    let epoch = scanned.epoch;
    Ok(Recovered { lock, store, row, epoch, checkpoints, opened })
}

fn list(disk: &dyn Disk) -> Result<Vec<String>, EngineError> {
    disk.list().map_err(EngineError::io("list", &disk.path("")))
}

/// Without our mark a folder must be empty, but for what a start that was cut short leaves.
fn refuse_foreign(disk: &dyn Disk) -> Result<Vec<String>, EngineError> {
    let names = list(disk)?;
    if names.iter().any(|name| name == FORMAT_FILE) {
        return Ok(names);
    }
    let first = Segment::name(Lsn(0));
    for name in &names {
        let known = [LOCK_FILE, "lost+found"].contains(&name.as_str())
            || [FORMAT_FILE, first.as_str()]
                .iter()
                .any(|made| name.strip_suffix(TEMPORARY_SUFFIX) == Some(made));
        let begun = *name == first && is_unused(disk)?;
        if !(known || begun) {
            return Err(EngineError::NotOurs { folder: disk.path(""), found: name.clone() });
        }
    }
    Ok(names)
}

fn is_unused(disk: &dyn Disk) -> Result<bool, EngineError> {
    only_zeros(&Segment::open(disk, Lsn(0))?, 0)
}

/// The mark comes last: a folder with the mark has a first segment, so that a folder that lost all segments is not taken for a new one.
fn create(disk: &dyn Disk, segment_bytes: u64) -> io::Result<StoreId> {
    let first = Segment::prepare(disk, Lsn(0), segment_bytes)?;
    first.give_name(disk)?;
    // Only has to differ between folders and be unknown to clients; the standard library's hash keys come from the kernel.
    let store = RandomState::new().hash_one(FORMAT_WORD) as u32;
    let temporary = format!("{FORMAT_FILE}{TEMPORARY_SUFFIX}");
    let file = disk.create(&temporary)?;
    file.write_at(&[format_text(StoreId(store)).as_bytes()], 0)?;
    file.sync_all()?;
    disk.rename(&temporary, FORMAT_FILE)?;
    disk.sync_folder()?;
    Ok(StoreId(store))
}

fn format_text(store: StoreId) -> String {
    let line = format!("{FORMAT_WORD} {} {:08x}", frame::VERSION, store.0);
    let sum = crc32c::crc32c(line.as_bytes());
    format!("{line} {sum:08x}\n")
}

fn read_format(disk: &dyn Disk) -> Result<StoreId, EngineError> {
    let path = disk.path(FORMAT_FILE);
    let file = disk.open(FORMAT_FILE).map_err(EngineError::io("open", &path))?;
    let mut buffer = [0; 128];
    let count = file.read_at(&mut buffer, 0).map_err(EngineError::io("read", &path))?;
    let text = String::from_utf8_lossy(&buffer[..count]);
    let fields: Vec<&str> = text.split_whitespace().collect();
    let store = fields.get(2).and_then(|field| u32::from_str_radix(field, 16).ok()).map(StoreId);
    match (fields.first(), fields.get(1).and_then(|field| field.parse::<u8>().ok()), store) {
        (Some(&FORMAT_WORD), Some(found), _) if found != frame::VERSION => {
            Err(EngineError::UnknownVersion { path, offset: 20, found, reads: "version 1" })
        }
        (_, _, Some(store)) if text == format_text(store) => Ok(store),
        _ => {
            Err(EngineError::Damaged { path, offset: 0, reason: "not the line it must be".into() })
        }
    }
}

/// Names that were made but not synced by a process that was killed are made durable too.
fn remove_temporaries(disk: &dyn Disk) -> io::Result<()> {
    for name in disk.list()?.iter().filter(|name| name.ends_with(TEMPORARY_SUFFIX)) {
        disk.remove(name)?;
    }
    disk.sync_folder()
}

fn look_at_checkpoints(
    disk: &dyn Disk,
    store: StoreId,
    names: &[String],
) -> (Vec<Kept>, Vec<EngineError>) {
    let mut places: Vec<Lsn> = names.iter().filter_map(|name| checkpoint::at_of(name)).collect();
    places.sort();
    let (mut kept, mut unusable) = (Vec::new(), Vec::new());
    for at in places {
        match checkpoint::look(disk, store, at) {
            Ok(checkpoint) => kept.push(checkpoint),
            Err(error) => unusable.push(error),
        }
    }
    (kept, unusable)
}

/// Opens all segments. A finished one ends where the next begins, unless the writer stopped just before it cut the rest.
fn open_row(disk: &dyn Disk, names: &[String]) -> Result<Row, EngineError> {
    let mut bases: Vec<Lsn> = names.iter().filter_map(|name| Segment::base_of(name)).collect();
    bases.sort();
    let row: Row = bases
        .iter()
        .map(|&base| Segment::open(disk, base).map(Arc::new))
        .collect::<Result<_, _>>()?;
    for (segment, next) in row.iter().zip(row.iter().skip(1)) {
        let used = next.base.0 - segment.base.0;
        if segment.length() < used {
            let from = segment.base + segment.length().saturating_sub(FINISHED_BYTES);
            return Err(EngineError::Missing { folder: disk.path(""), from, to: next.base });
        }
        if segment.length() > used + FINISHED_BYTES {
            if !only_zeros(segment, used)? {
                return Err(segment.damaged(next.base, "bytes after its end"));
            }
            segment.finish(used).map_err(EngineError::io("finish", &segment.path))?;
        }
    }
    Ok(row)
}

/// Segments are only trimmed up to a checkpoint, so a log that begins later than it has lost one.
fn check_begin(disk: &dyn Disk, row: &Row, newest: Option<&Kept>) -> Result<(), EngineError> {
    let needed = newest.map_or(Lsn(0), |checkpoint| checkpoint.at);
    match row.first() {
        Some(first) if first.base <= needed => Ok(()),
        first => {
            let to = first.map_or(needed, |first| first.base);
            Err(EngineError::Missing { folder: disk.path(""), from: needed, to })
        }
    }
}

struct Scanned {
    head: Lsn,
    epoch: Epoch,
    last_kind: Option<Kind>,
    /// Groups at the end of which it is not certain that they were synced, of the last segment.
    unsure: Vec<(Lsn, Bytes)>,
    end_reason: Option<Invalid>,
}

/// Verifies all groups from the beginning of the segment that the checkpoint points into.
fn scan(
    disk: &dyn Disk,
    store: StoreId,
    row: &Row,
    newest: Option<Kept>,
) -> Result<Scanned, EngineError> {
    let from = newest.map_or(row[0].base, |checkpoint| checkpoint.at);
    let first = row.partition_point(|segment| segment.base <= from).saturating_sub(1);
    let epoch = newest.map_or(Epoch(0), |checkpoint| checkpoint.epoch);
    let head = row[first].base;
    let mut scanned =
        Scanned { head, epoch, last_kind: None, unsure: Vec::new(), end_reason: None };
    let mut from_is_a_border = head == from;
    for (index, segment) in row.iter().enumerate().skip(first) {
        let next = row.get(index + 1).map(|next| next.base);
        let end = next.unwrap_or_else(|| segment.base + segment.length());
        // All of a segment is synced before the next one has a name.
        scanned.unsure.clear();
        let mut walk = Walk::new(segment, store, segment.base, end);
        loop {
            match walk.next()? {
                Found::Whole { header, bytes } => {
                    scanned.epoch = scanned.epoch.max(header.epoch);
                    let is_all_durable = scanned.last_kind == Some(Kind::Covering)
                        || !matches!(header.kind, Kind::Deferred | Kind::Covering);
                    if is_all_durable {
                        scanned.unsure.clear();
                    }
                    scanned.last_kind = Some(header.kind);
                    scanned.unsure.push((header.at, bytes));
                    from_is_a_border |= walk.at() == from;
                }
                Found::Invalid(reason) if next.is_none() => {
                    scanned.end_reason = Some(reason);
                    break;
                }
                Found::Invalid(reason) => {
                    return Err(segment.damaged(walk.at(), reason.to_string()));
                }
                Found::End => break,
            }
        }
        scanned.head = walk.at();
    }
    if !from_is_a_border {
        let (folder, from, to) = (disk.path(""), scanned.head.min(from), from);
        return Err(EngineError::Missing { folder, from, to });
    }
    Ok(scanned)
}

/// Decides what lies after the last valid group, erases it if it may be, and makes the last groups durable.
fn finish_tail(
    last: &Segment,
    store: StoreId,
    scanned: &Scanned,
) -> Result<Option<Lsn>, EngineError> {
    let head = scanned.head;
    let used = head.0 - last.base.0;
    let dropped = match scanned.end_reason {
        Some(reason) if !only_zeros(last, used)? => {
            refuse_what_was_acknowledged(last, store, head, reason)?;
            last.erase_from(used).map_err(EngineError::io("erase the end of", &last.path))?;
            Some(head)
        }
        _ if last.length() == used + FINISHED_BYTES => {
            return Err(last.damaged(head, "it was finished, and the segment after it is missing"));
        }
        _ => None,
    };
    // They may have been written and never synced, or the sync failed and the kernel took the pages for clean: write them again, then sync.
    let mut unsure = scanned.unsure.iter();
    let rewritten =
        unsure.try_for_each(|(at, bytes)| last.file.write_at(&[bytes], at.0 - last.base.0));
    rewritten.and_then(|()| last.file.sync_all()).map_err(EngineError::io("sync", &last.path))?;
    Ok(dropped)
}

fn refuse_what_was_acknowledged(
    last: &Segment,
    store: StoreId,
    head: Lsn,
    reason: Invalid,
) -> Result<(), EngineError> {
    let used = head.0 - last.base.0;
    let mut rest = vec![
        0;
        usize::try_from(last.length() - used)
            .expect("invariant: a segment fits into memory")
    ];
    read_exact_at(last.file.as_ref(), &mut rest, used)
        .map_err(EngineError::io("read", &last.path))?;
    let elsewhere = match reason {
        // A header torn after its magic has version 0; any other was written on purpose.
        Invalid::Version(found) if found != 0 => {
            let path = last.path.clone();
            return Err(EngineError::UnknownVersion {
                path,
                offset: used,
                found,
                reads: READS_VERSIONS,
            });
        }
        Invalid::Store(other) => is_whole(&rest, head, StoreId(other)),
        Invalid::Place(other) => is_whole(&rest, Lsn(other), store),
        _ => false,
    };
    if elsewhere {
        return Err(last.damaged(head, format!("there is {reason}")));
    }
    match frame::find_durable_after_first_byte(&rest, head, store) {
        Some(offset) => {
            let after = used + offset as u64;
            Err(last.damaged(head, format!("{reason}, and a whole group follows at byte {after}")))
        }
        None => Ok(()),
    }
}

fn is_whole(bytes: &[u8], at: Lsn, store: StoreId) -> bool {
    frame::decode(bytes, at, store).and_then(|header| frame::verify(&header, bytes)).is_ok()
}

fn only_zeros(segment: &Segment, from: u64) -> Result<bool, EngineError> {
    zeros_from(segment.file.as_ref(), from, segment.length())
        .map_err(EngineError::io("read", &segment.path))
}

fn zeros_from(file: &dyn DiskFile, mut from: u64, to: u64) -> io::Result<bool> {
    let mut buffer = [0; ZEROS.len()];
    while from < to {
        let count = (to - from).min(ZEROS.len() as u64) as usize;
        read_exact_at(file, &mut buffer[..count], from)?;
        if buffer[..count] != ZEROS[..count] {
            return Ok(false);
        }
        from += count as u64;
    }
    Ok(true)
}
