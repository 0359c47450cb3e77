//! A file that is either wholly old or wholly new: checksum in front, written beside and renamed.
//! Holds bytes; what they mean is `model::wire`'s.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A checkpoint over this size is not ours; reading it would only burn memory.
const MAX_BYTES: u64 = 64 << 20;

/// Why a checkpoint could not be used or written.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("checkpoint {path} is corrupt: {why}")]
    Corrupt { path: PathBuf, why: String },
    #[error("cannot read checkpoint {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write checkpoint {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Replaces the checkpoint; a crash at any point leaves the old or the new one.
pub fn save_checkpoint(path: &Path, payload: &[u8]) -> Result<(), CheckpointError> {
    let failed = |source| CheckpointError::Write { path: path.to_owned(), source };
    let beside = path.with_extension("new");
    let mut bytes =
        format!("berth-checkpoint {:08x} {}\n", crc32fast::hash(payload), payload.len())
            .into_bytes();
    bytes.extend_from_slice(payload);
    fs::write(&beside, &bytes).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)
}

/// The payload, or `None` when there is no checkpoint.
pub fn load_checkpoint(path: &Path) -> Result<Option<Vec<u8>>, CheckpointError> {
    let read = |source| CheckpointError::Read { path: path.to_owned(), source };
    let size = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(read(error)),
    };
    let corrupt = |why: &str| CheckpointError::Corrupt { path: path.to_owned(), why: why.into() };
    if size > MAX_BYTES {
        return Err(corrupt(&format!("{size} bytes, more than {MAX_BYTES}")));
    }
    let bytes = fs::read(path).map_err(read)?;
    match payload(&bytes) {
        Ok(payload) => Ok(Some(payload.to_vec())),
        Err(why) => Err(corrupt(why)),
    }
}

fn payload(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("no header line")?;
    let header = std::str::from_utf8(&bytes[..end]).ok().ok_or("header is not text")?;
    let mut words = header.split(' ');
    let (magic, crc, len) = (words.next(), words.next(), words.next());
    if magic != Some("berth-checkpoint") || words.next().is_some() {
        return Err("header is not berth-checkpoint");
    }
    let crc = crc.and_then(|crc| u32::from_str_radix(crc, 16).ok()).ok_or("no checksum")?;
    let len = len.and_then(|len| len.parse::<usize>().ok()).ok_or("no length")?;
    let payload = &bytes[end + 1..];
    if payload.len() != len {
        return Err("shorter or longer than its header says");
    }
    if crc32fast::hash(payload) != crc {
        return Err("checksum does not match");
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::{CheckpointError, load_checkpoint, save_checkpoint};

    #[test]
    fn nothing_then_one_then_another() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("plan");
        assert_eq!(load_checkpoint(&path).expect("absent"), None);
        save_checkpoint(&path, b"one").expect("save");
        save_checkpoint(&path, b"another").expect("save again");
        assert_eq!(load_checkpoint(&path).expect("load"), Some(b"another".to_vec()));
    }

    #[test]
    fn torn_at_any_byte_or_flipped_anywhere_is_corrupt_and_never_a_shorter_plan() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("plan");
        save_checkpoint(&path, b"{\"pools\":[1,2,3]}").expect("save");
        let whole = std::fs::read(&path).expect("read");
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).expect("tear");
            let error = load_checkpoint(&path).expect_err("torn");
            assert!(matches!(error, CheckpointError::Corrupt { .. }), "cut at {cut}: {error:?}");
        }
        for idx in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[idx] ^= 0x10;
            std::fs::write(&path, &flipped).expect("flip");
            let result = load_checkpoint(&path);
            assert!(matches!(result, Err(CheckpointError::Corrupt { .. })), "byte {idx} flipped");
        }
    }

    #[test]
    fn a_crash_before_the_rename_leaves_the_old_one() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("plan");
        save_checkpoint(&path, b"old").expect("save");
        std::fs::write(path.with_extension("new"), b"half a che").expect("crash image");
        assert_eq!(load_checkpoint(&path).expect("load"), Some(b"old".to_vec()));
        save_checkpoint(&path, b"new").expect("save over the leftover");
        assert_eq!(load_checkpoint(&path).expect("load"), Some(b"new".to_vec()));
    }
}
