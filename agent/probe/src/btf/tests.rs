//! A small BTF made by hand (and the offsets one can see in it), then hostile bytes.

use proptest::prelude::*;

use super::*;

/// Builds BTF from records; ids count from 1 in the order of the calls.
#[derive(Default)]
struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
}

impl Builder {
    fn new() -> Builder {
        Builder { types: Vec::new(), strings: vec![0] }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        at
    }

    fn words(&mut self, words: &[u32]) {
        self.types.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
    }

    fn plain(mut self, kind: u32, name: &str, size_or_type: u32, tail: &[u32]) -> Builder {
        let name = self.name(name);
        self.words(&[name, kind << 24, size_or_type]);
        self.words(tail);
        self
    }

    /// Members are (name, type, bits); with the kind flag the upper 8 bits are a width.
    fn record(mut self, kind: u32, name: &str, flag: u32, members: &[(&str, u32, u32)]) -> Builder {
        let name = self.name(name);
        self.words(&[name, flag << 31 | kind << 24 | members.len() as u32, 64]);
        for (member, type_id, bits) in members {
            let member = self.name(member);
            self.words(&[member, *type_id, *bits]);
        }
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut bytes = Vec::new();
        bytes.extend(MAGIC.to_ne_bytes());
        bytes.extend([1, 0]);
        for word in [24, 0, types, types, strings] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }
}

fn sample() -> Vec<u8> {
    Builder::new()
        .plain(1, "int", 4, &[32]) // 1
        .record(4, "sched_entity", 0, &[("on_rq", 1, 64), ("cfs_rq", 3, 1344)]) // 2
        .plain(2, "", 5, &[]) // 3: pointer to cfs_rq
        .plain(8, "se_t", 2, &[]) // 4: typedef of sched_entity
        .record(4, "cfs_rq", 1, &[("throttled", 1, 1 << 24 | 40), ("clock", 1, 128)]) // 5
        .record(5, "", 0, &[("a", 1, 0), ("b", 1, 32)]) // 6: anonymous union
        .record(4, "task_struct", 0, &[("pid", 1, 96), ("", 6, 256), ("se", 4, 1024)]) // 7
        .plain(8, "btf_trace_sched_switch", 3, &[]) // 8
        .bytes()
}

#[track_caller]
fn check(path: &str, expect: Option<u32>) {
    let bytes = sample();
    let btf = Btf::parse(&bytes).expect("well-formed");
    assert_eq!(btf.offset_of(path), expect, "{path}");
}

#[test]
fn offsets_of_fields() {
    check("task_struct.pid", Some(12));
    check("task_struct.se.cfs_rq", Some(128 + 168)); // through a typedef
    check("task_struct.b", Some(36)); // in an anonymous union at 32
    check("cfs_rq.clock", Some(16));
    check("cfs_rq.throttled", None); // a bit field has no byte offset
    check("task_struct.nothing", None);
    check("task_struct.pi", None); // a prefix is not the name
    check("nothing.pid", None);
    check("int.pid", None);
    check("task_struct.se.cfs_rq.clock", None); // a pointer is not held by value
    check("task_struct", Some(0));
    check("", None);
}

#[test]
fn tracepoints() {
    let bytes = sample();
    let btf = Btf::parse(&bytes).expect("well-formed");
    assert!(btf.has_tracepoint("sched_switch"));
    assert!(!btf.has_tracepoint("sched_waking"));
}

/// A struct that contains itself, and a typedef of itself: not C, but bytes can say it.
#[test]
fn endless_types_end() {
    let bytes = Builder::new()
        .record(4, "loop", 0, &[("", 1, 8), ("", 2, 8)])
        .plain(8, "self", 2, &[])
        .bytes();
    let btf = Btf::parse(&bytes).expect("well-formed");
    assert_eq!(btf.offset_of("loop.x"), None);
}

#[test]
fn refusals() {
    let good = sample();
    assert_eq!(Btf::parse(&[]).map(drop), Err(BtfError::Truncated { what: "the header", len: 0 }));
    assert_eq!(Btf::parse(&[0; 64]).map(drop), Err(BtfError::BadMagic { found: 0 }));
    let cut = &good[..good.len() - 1];
    let expect = BtfError::Truncated { what: "the string section", len: cut.len() };
    assert_eq!(Btf::parse(cut).map(drop), Err(expect));
    let odd = Builder::new().plain(31, "x", 0, &[]).bytes();
    assert_eq!(Btf::parse(&odd).map(drop), Err(BtfError::UnknownKind { id: 1, kind: 31 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn hostile_bytes_never_panic(
        noise in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = sample();
        for (at, value) in noise {
            let at = at.index(bytes.len());
            // The magic stays, or nothing behind it would ever be reached.
            if at >= 2 {
                bytes[at] = value;
            }
        }
        for end in [bytes.len(), cut.index(bytes.len())] {
            if let Ok(btf) = Btf::parse(&bytes[..end]) {
                for path in ["task_struct.pid", "task_struct.se.cfs_rq", "task_struct.b"] {
                    btf.offset_of(path);
                }
                btf.has_tracepoint("sched_switch");
            }
        }
    }
}
