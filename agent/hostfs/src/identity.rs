//! Which machine this is and which boot of it: `/etc/machine-id` and the kernel's boot id. Owns the two files and their
//! form; what stands in for one that is missing is the caller's affair.

use crate::error::ReadError;
use crate::file;
use crate::parse::ParseError;
use crate::root::HostRoot;

/// machine-id(5): 32 digits. An image that has not booted yet holds `uninitialized`, which names no machine.
pub fn machine_id(host: &HostRoot) -> Result<String, ReadError> {
    file::read_path(&host.etc().join("machine-id"), parse_machine_id)
}

/// Another one after every boot (random(4)).
pub fn boot_id(host: &HostRoot) -> Result<String, ReadError> {
    file::read_path(&host.proc().join("sys/kernel/random/boot_id"), parse_uuid)
}

/// A new one at every reading (random(4)): the kernel's random numbers in the same form. Always from the kernel that
/// runs this process, whatever root was injected.
pub fn new_uuid() -> Result<String, ReadError> {
    file::read_path("/proc/sys/kernel/random/uuid".as_ref(), parse_uuid)
}

fn parse_machine_id(text: &str) -> Result<String, ParseError> {
    let id = text.trim_end();
    match id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(id.to_ascii_lowercase()),
        false => Err(ParseError::new(id, "a machine id of 32 hexadecimal digits")),
    }
}

fn parse_uuid(text: &str) -> Result<String, ParseError> {
    let id = text.trim_end();
    let is_uuid = id.len() == 36
        && id.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    match is_uuid {
        true => Ok(id.to_ascii_lowercase()),
        false => Err(ParseError::new(id, "a UUID")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: &str = "0123456789abcdef0123456789ABCDEF\n";
    const UUID: &str = "8f14e45f-ceea-467f-a12c-000000000001\n";

    #[track_caller]
    fn check(parse: fn(&str) -> Result<String, ParseError>, text: &str, expect: Option<&str>) {
        assert_eq!(parse(text).ok().as_deref(), expect, "{text:?}");
    }

    #[test]
    fn ids_have_one_form() {
        check(parse_machine_id, MACHINE, Some("0123456789abcdef0123456789abcdef"));
        for bad in ["", "\n", "uninitialized\n", &MACHINE[1..], "g123456789abcdef0123456789abcdef"]
        {
            check(parse_machine_id, bad, None);
        }
        check(parse_uuid, UUID, Some(UUID.trim_end()));
        for bad in ["", MACHINE, &UUID[1..], "8f14e45f-ceea-467f-a12c0000-00000001"] {
            check(parse_uuid, bad, None);
        }
    }

    #[test]
    fn a_machine_without_an_id_says_which_file_is_missing() {
        let dir = tempfile::tempdir().expect("temp dir");
        let host = HostRoot::new(dir.path());
        let error = machine_id(&host).expect_err("no file");
        assert!(error.is_absent(), "{error}");
        assert!(error.to_string().ends_with("etc/machine-id is not there"), "{error}");
        std::fs::create_dir(dir.path().join("etc")).expect("etc");
        std::fs::write(dir.path().join("etc/machine-id"), MACHINE).expect("write");
        assert_eq!(machine_id(&host).expect("an id").len(), 32);
    }

    #[test]
    fn this_boot_has_an_id_and_no_two_new_ones_are_equal() {
        assert_eq!(boot_id(&HostRoot::new("/")).expect("an id").len(), 36);
        assert_ne!(new_uuid().expect("one"), new_uuid().expect("another"));
    }
}
