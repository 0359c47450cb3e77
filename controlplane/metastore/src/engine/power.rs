//! A disk in RAM that loses power and fails by order, for tests. Owns what a device may do to writes that were not synced: drop, keep, tear
//! at sectors and reorder them. It promises no more than POSIX does: a name is durable after a sync of the folder only, and after a sync
//! that failed the data is in the cache and nowhere else.

mod device;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile};

pub use crate::random::Random;
use device::{Change, Inode, NameChange};

/// The calls that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Create,
    Allocate,
    Write,
    SetLength,
    /// `sync_data` and `sync_all`.
    Sync,
    SyncFolder,
    Rename,
    Remove,
}

/// One fault: the calls of a kind from the `skip`th on, `times` of them.
#[derive(Clone, Copy, Debug)]
pub struct DiskFault {
    pub call: Call,
    pub skip: u64,
    pub times: u64,
    pub kind: io::ErrorKind,
}

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct PowerDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<NameChange>,
    faults: Vec<DiskFault>,
    changes_until_death: Option<u64>,
    data_syncs_until_forgotten: Option<u64>,
    locked: Arc<AtomicBool>,
}

impl PowerDisk {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn fail(&self, fault: DiskFault) {
        self.state().faults.push(fault);
    }

    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// The power goes after so many more changes: the last one may or may not get through, later ones fail.
    pub fn die_after(&self, changes: u64) {
        self.state().changes_until_death = Some(changes);
    }

    pub fn is_dead(&self) -> bool {
        self.state().changes_until_death == Some(0)
    }

    /// Proves that a test can fail: the `sync_data` after `count` more ones says that it worked and does nothing.
    pub fn forget_data_sync_after(&self, count: u64) {
        self.state().data_syncs_until_forgotten = Some(count);
    }

    /// What the device holds when the power is back: all that was synced, and of the rest what the seed says.
    pub fn cut(&self, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let state = self.state();
        let mut names = state.durable_names.clone();
        for change in &state.pending_names {
            if random.one_in(2) {
                change.apply(&mut names);
            }
        }
        let after = |inode: &Inode| {
            let survived = inode.after_cut(&mut random);
            Inode { cached: survived.clone(), durable: survived, pending: Vec::new() }
        };
        let inodes = state.inodes.iter().map(after).collect();
        let durable_names = names.clone();
        Self(Arc::new(Mutex::new(State { inodes, names, durable_names, ..State::default() })))
    }

    /// Everything is on the device, as after a process that was killed and a device that had time. For tests that change single bytes.
    pub fn settled(&self) -> Self {
        let state = self.state();
        let settle = |inode: &Inode| {
            let cached = inode.cached.clone();
            Inode { cached: cached.clone(), durable: cached, pending: Vec::new() }
        };
        let inodes = state.inodes.iter().map(settle).collect();
        let names = state.names.clone();
        let durable_names = names.clone();
        Self(Arc::new(Mutex::new(State { inodes, names, durable_names, ..State::default() })))
    }

    pub fn file_names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// The bytes of a file, as reads see them.
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.names.get(name).map(|&inode| state.inodes[inode].cached.clone())
    }

    /// Puts a file there, durable.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let inode = state.add(Inode { cached: bytes.clone(), durable: bytes, pending: Vec::new() });
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
    }

    /// Takes a file away, durable.
    pub fn take(&self, name: &str) {
        let mut state = self.state();
        state.names.remove(name);
        state.durable_names.remove(name);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, inode: usize) -> Arc<dyn DiskFile> {
        Arc::new(PowerFile { disk: self.clone(), inode })
    }
}

impl State {
    fn add(&mut self, inode: Inode) -> usize {
        self.inodes.push(inode);
        self.inodes.len() - 1
    }

    /// Counts one change. An error says that the call fails; `Dying` that its change is still under way.
    fn begin(&mut self, call: Call) -> Result<Power, io::Error> {
        for fault in self.faults.iter_mut().filter(|fault| fault.call == call) {
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if fault.times > 0 {
                fault.times -= 1;
                return Err(fault.kind.into());
            }
        }
        match &mut self.changes_until_death {
            Some(0) => Err(no_power()),
            Some(left) => {
                *left -= 1;
                Ok(if *left == 0 { Power::Dying } else { Power::On })
            }
            None => Ok(Power::On),
        }
    }

    fn change_names(&mut self, call: Call, change: NameChange) -> io::Result<()> {
        let power = self.begin(call)?;
        change.apply(&mut self.names);
        self.pending_names.push(change);
        power.answer()
    }

    fn inode_of(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    Dying,
}

impl Power {
    fn answer(self) -> io::Result<()> {
        if self == Self::On { Ok(()) } else { Err(no_power()) }
    }
}

fn no_power() -> io::Error {
    io::Error::other("no power")
}

#[derive(Debug)]
struct Lock(Arc<AtomicBool>);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Disk for PowerDisk {
    fn lock(&self) -> io::Result<Box<dyn Debug + Send + Sync>> {
        let locked = Arc::clone(&self.state().locked);
        if locked.swap(true, Ordering::AcqRel) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock(locked)))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.file_names())
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.state().inode_of(name)?;
        Ok(self.file(inode))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let inode = state.add(Inode::default());
        state.change_names(Call::Create, NameChange::Link { name: name.to_owned(), inode })?;
        drop(state);
        Ok(self.file(inode))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.inode_of(from)?;
        let change = NameChange::Rename { from: from.to_owned(), to: to.to_owned() };
        state.change_names(Call::Rename, change)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.inode_of(name)?;
        state.change_names(Call::Remove, NameChange::Unlink { name: name.to_owned() })
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.state();
        state.begin(Call::SyncFolder)?.answer()?;
        state.durable_names = state.names.clone();
        state.pending_names.clear();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("power").join(name)
    }
}

#[derive(Debug)]
struct PowerFile {
    disk: PowerDisk,
    inode: usize,
}

impl PowerFile {
    fn change(&self, call: Call, change: Change) -> io::Result<()> {
        let mut state = self.disk.state();
        let power = state.begin(call)?;
        state.inodes[self.inode].change(change);
        power.answer()
    }
}

impl DiskFile for PowerFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].cached.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let content = &state.inodes[self.inode].cached;
        let rest = content.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, pieces: &[&[u8]], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let (offset, mut bytes) = (offset as usize, pieces.concat());
        let begun = state.begin(Call::Write);
        if begun.is_err() {
            // A device that is full takes a part.
            bytes.truncate(bytes.len() / 2);
        }
        if !matches!(state.changes_until_death, Some(0)) || begun.is_ok() {
            state.inodes[self.inode].change(Change::Write { offset, bytes });
        }
        begun?.answer()
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        let length = length.max(self.length()?) as usize;
        self.change(Call::Allocate, Change::Length(length))
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.change(Call::SetLength, Change::Length(length as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        {
            let mut state = self.disk.state();
            let forgotten = state.data_syncs_until_forgotten == Some(0);
            state.data_syncs_until_forgotten = match state.data_syncs_until_forgotten {
                Some(left) => left.checked_sub(1),
                None => None,
            };
            if forgotten {
                return Ok(());
            }
        }
        self.sync_all()
    }

    fn sync_all(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        match state.begin(Call::Sync) {
            Ok(power) => {
                power.answer()?;
                state.inodes[self.inode].sync();
                Ok(())
            }
            Err(error) => {
                // The kernel takes the pages for clean now: a later sync says that all is well, and they are lost.
                if state.changes_until_death != Some(0) {
                    state.inodes[self.inode].pending.clear();
                }
                Err(error)
            }
        }
    }
}
