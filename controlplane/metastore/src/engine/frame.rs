//! The bytes of a group, pure: how a header is written and when it is believed. Owns the layout; files and recovery are elsewhere.
//!
//! ```text
//!  0  2  magic "BL"           16  8  epoch
//!  2  1  version, see `Kind`  24  4  store, as in the FORMAT file
//!  3  1  kind, see `Kind`     28  4  crc32c of bytes 0..28 and the payload
//!  4  4  length of payload    32     payload
//!  8  8  place in the stream  all numbers little-endian
//! ```
//! A header names its own place and its store, so bytes that lie elsewhere, or came from another folder, or were put into a value by a
//! client, are never taken for a group.

use super::{Epoch, Lsn};

/// What a group takes beside its payload.
pub const HEADER_BYTES: u64 = 32;

/// Bounds what one header can make a reader allocate; the caller's groups are about 1 MiB.
pub const MAX_PAYLOAD_BYTES: u32 = 256 << 20;

/// Of every kind that version 1 knew, and of the folder. 0 is never used: a header torn after its magic has it.
pub const VERSION: u8 = 1;

/// Of deferred groups and those that cover them: a program that does not know them would take a lost one for damage, or worse, a whole one
/// for nothing.
const DEFERRED_VERSION: u8 = 2;

/// For messages.
pub const READS_VERSIONS: &str = "versions 1 and 2";

/// Marks a folder as ours and names the store.
pub const FORMAT_FILE: &str = "FORMAT";

const MAGIC: [u8; 2] = *b"BL";
const CHECKSUM_AT: usize = 28;

/// A number drawn when the folder is made. Clients never see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Payload of the caller.
    Group = 1,
    /// A new writer; no payload.
    Claim = 2,
    /// A clean end; no payload.
    Seal = 3,
    /// Payload of the caller that was not synced by itself: a power cut may have taken it and what follows it.
    Deferred = 4,
    /// Payload of the caller, synced, and deferred ones before it were not when it was written. Until its sync has returned a power cut may
    /// take them and leave it.
    Covering = 5,
}

impl Kind {
    fn version(self) -> u8 {
        match self {
            Self::Deferred | Self::Covering => DEFERRED_VERSION,
            Self::Group | Self::Claim | Self::Seal => VERSION,
        }
    }

    /// Groups of the caller; the others are marks of ours.
    pub fn has_payload(self) -> bool {
        matches!(self, Self::Group | Self::Deferred | Self::Covering)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub kind: Kind,
    pub at: Lsn,
    pub epoch: Epoch,
    pub store: StoreId,
    pub payload_bytes: u32,
}

/// Why bytes are not a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("zeros")]
    Zeros,
    #[error("fewer bytes than a header has")]
    Short,
    #[error("no magic")]
    Magic,
    #[error("version {0}")]
    Version(u8),
    #[error("kind {0}")]
    Kind(u8),
    #[error("a group of store {0:08x}")]
    Store(u32),
    #[error("a group for byte {0}")]
    Place(u64),
    #[error("a length of {0} bytes")]
    Length(u32),
    #[error("a wrong checksum")]
    Checksum,
}

impl Header {
    /// All bytes of the group, header included.
    pub fn total_bytes(&self) -> u64 {
        HEADER_BYTES + u64::from(self.payload_bytes)
    }
}

/// The header for a payload given in pieces.
pub fn encode_header(header: &Header, payload: &[&[u8]]) -> [u8; HEADER_BYTES as usize] {
    let mut bytes = [0; HEADER_BYTES as usize];
    bytes[0..2].copy_from_slice(&MAGIC);
    bytes[2] = header.kind.version();
    bytes[3] = header.kind as u8;
    bytes[4..8].copy_from_slice(&header.payload_bytes.to_le_bytes());
    bytes[8..16].copy_from_slice(&header.at.0.to_le_bytes());
    bytes[16..24].copy_from_slice(&header.epoch.0.to_le_bytes());
    bytes[24..28].copy_from_slice(&header.store.0.to_le_bytes());
    let of_header = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
    let sum = payload.iter().fold(of_header, |sum, piece| crc32c::crc32c_append(sum, piece));
    bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Reads the header that must lie at `at`. The checksum needs the payload too: see `verify`.
pub fn decode(bytes: &[u8], at: Lsn, store: StoreId) -> Result<Header, Invalid> {
    let bytes: &[u8; HEADER_BYTES as usize] = bytes
        .get(..HEADER_BYTES as usize)
        .and_then(|slice| slice.try_into().ok())
        .ok_or(Invalid::Short)?;
    if bytes.iter().all(|&byte| byte == 0) {
        return Err(Invalid::Zeros);
    }
    if bytes[0..2] != MAGIC {
        return Err(Invalid::Magic);
    }
    if ![VERSION, DEFERRED_VERSION].contains(&bytes[2]) {
        return Err(Invalid::Version(bytes[2]));
    }
    let kind = match bytes[3] {
        1 => Kind::Group,
        2 => Kind::Claim,
        3 => Kind::Seal,
        4 => Kind::Deferred,
        5 => Kind::Covering,
        other => return Err(Invalid::Kind(other)),
    };
    let found_store = number_u32(bytes, 24);
    if found_store != store.0 {
        return Err(Invalid::Store(found_store));
    }
    let found_at = number_u64(bytes, 8);
    if found_at != at.0 {
        return Err(Invalid::Place(found_at));
    }
    let payload_bytes = number_u32(bytes, 4);
    if bytes[2] != kind.version() {
        return Err(Invalid::Kind(bytes[3]));
    }
    let longest = if kind.has_payload() { MAX_PAYLOAD_BYTES } else { 0 };
    if payload_bytes > longest {
        return Err(Invalid::Length(payload_bytes));
    }
    Ok(Header { kind, at, epoch: Epoch(number_u64(bytes, 16)), store, payload_bytes })
}

/// A group is believed after this only: `bytes` begin with its header and hold all of it.
pub fn verify(header: &Header, bytes: &[u8]) -> Result<(), Invalid> {
    let whole = usize::try_from(header.total_bytes()).ok().and_then(|end| bytes.get(..end));
    let Some(whole) = whole else { return Err(Invalid::Length(header.payload_bytes)) };
    let (head, payload) = whole.split_at(HEADER_BYTES as usize);
    let sum = crc32c::crc32c_append(crc32c::crc32c(&head[..CHECKSUM_AT]), payload);
    if sum.to_le_bytes() == head[CHECKSUM_AT..] { Ok(()) } else { Err(Invalid::Checksum) }
}

/// Where a group lies in `bytes` that was durable, and all before it with it; the first one after offset 0 or none. The first byte is `at` of
/// the stream.
pub fn find_durable_after_first_byte(bytes: &[u8], at: Lsn, store: StoreId) -> Option<usize> {
    let mut covering = None;
    for offset in (1..bytes.len()).filter(|&offset| bytes[offset] == MAGIC[0]) {
        let rest = &bytes[offset..];
        let found = decode(rest, at + offset as u64, store);
        let Ok(header) = found.and_then(|header| verify(&header, rest).map(|()| header)) else {
            continue;
        };
        match header.kind {
            // It was written after the sync of the one before.
            _ if covering.is_some() => return covering,
            Kind::Covering => covering = Some(offset),
            Kind::Deferred => {}
            Kind::Group | Kind::Claim | Kind::Seal => return Some(offset),
        }
    }
    None
}

pub(super) fn number_u32(bytes: &[u8], offset: usize) -> u32 {
    let field = bytes[offset..offset + 4].try_into().expect("invariant: a slice of four bytes");
    u32::from_le_bytes(field)
}

pub(super) fn number_u64(bytes: &[u8], offset: usize) -> u64 {
    let field = bytes[offset..offset + 8].try_into().expect("invariant: a slice of eight bytes");
    u64::from_le_bytes(field)
}

#[cfg(test)]
mod tests;
