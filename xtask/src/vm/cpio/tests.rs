//! The writer against a reader of its own making (from the format's description) and known bytes.

use std::collections::BTreeMap;

use super::Archive;

/// What a reader sees of one entry: mode, special device, content.
type Seen = (u32, (u32, u32), Vec<u8>);

/// Walks an archive as the kernel does: header, name, padding, content, padding, until the trailer.
fn read(archive: &[u8]) -> BTreeMap<String, Seen> {
    let mut entries = BTreeMap::new();
    let mut at = 0;
    loop {
        assert_eq!(&archive[at..at + 6], b"070701", "magic at {at}");
        let field = |index: usize| {
            let start = at + 6 + index * 8;
            let digits =
                std::str::from_utf8(&archive[start..start + 8]).expect("hexadecimal digits");
            u32::from_str_radix(digits, 16).expect("hexadecimal digits")
        };
        let (mode, size, name_size) = (field(1), field(6) as usize, field(11) as usize);
        let device = (field(9), field(10));
        let name_at = at + 110;
        let name =
            String::from_utf8(archive[name_at..name_at + name_size - 1].to_vec()).expect("a name");
        assert_eq!(archive[name_at + name_size - 1], 0, "the name of {name} is terminated");
        let content_at = round_up(name_at + name_size);
        if name == "TRAILER!!!" {
            assert_eq!(round_up(content_at), archive.len(), "nothing after the trailer");
            return entries;
        }
        let content = archive[content_at..content_at + size].to_vec();
        assert!(entries.insert(name.clone(), (mode, device, content)).is_none(), "{name} twice");
        at = round_up(content_at + size);
    }
}

fn round_up(at: usize) -> usize {
    (at + 3) & !3
}

#[test]
fn an_empty_archive_is_one_trailer() {
    let bytes = Archive::default().finish();
    assert_eq!(read(&bytes), BTreeMap::new());
    assert_eq!(&bytes[..14], b"07070100000000");
    // 0x0b: TRAILER!!! and its NUL.
    assert_eq!(&bytes[94..121], b"0000000b00000000TRAILER!!!\0");
}

#[test]
fn what_goes_in_comes_out() {
    let mut archive = Archive::default();
    // Every length modulo four, for name and content.
    for length in 0..9_usize {
        let content = vec![b'x'; length];
        archive.file(&format!("/f{}", "n".repeat(length)), 0o640, &content);
    }
    archive.symlink("/bin/sh", "busybox");
    archive.character_device("/dev/console", 5, 1);
    let seen = read(&archive.finish());
    for length in 0..9_usize {
        assert_eq!(
            seen[&format!("f{}", "n".repeat(length))],
            (0o100_640, (0, 0), vec![b'x'; length])
        );
    }
    assert_eq!(seen["bin/sh"], (0o120_777, (0, 0), b"busybox".to_vec()));
    assert_eq!(seen["dev/console"], (0o020_600, (5, 1), Vec::new()));
}

#[test]
fn parents_appear_once_and_before_their_children() {
    let mut archive = Archive::default();
    archive.file("/a/b/c", 0o755, b"1");
    archive.file("/a/b/d", 0o755, b"2");
    archive.directory("/a");
    archive.file("/a/b/c", 0o755, b"a second one is ignored");
    assert!(archive.contains("/a/b") && archive.contains("a/b/c") && !archive.contains("/a/x"));
    let bytes = archive.finish();
    let seen = read(&bytes);
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["a", "a/b", "a/b/c", "a/b/d"]);
    assert_eq!(
        (seen["a"].0, seen["a/b"].0, &seen["a/b/c"].2[..]),
        (0o040_755, 0o040_755, &b"1"[..])
    );
    // The header of `a` comes first in the bytes, then that of `a/b`.
    let first = |name: &[u8]| bytes.windows(name.len()).position(|window| window == name);
    assert!(first(b"\0a\0") < first(b"a/b\0") && first(b"a/b\0") < first(b"a/b/c\0"));
}
