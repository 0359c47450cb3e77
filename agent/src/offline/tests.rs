//! Files of recordings: whole, cut off, altered.

use std::path::PathBuf;

use model::wire::recording::Encoder;
use state::RecordingFile;

use super::*;

const SCRIPT: &str = "node 1x4x1\npolicy hold 500\nworkload web shared 1000 200\nbatch ml 3000\n\
                      tick 3\ndemand web 3000\nburst web ml\ntick 3\n";

struct Recorded {
    path: PathBuf,
    dir: tempfile::TempDir,
}

fn recorded(lines: &[String]) -> Recorded {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("recording");
    let mut file = RecordingFile::create(&path, 64 << 20).expect("created");
    lines.iter().for_each(|line| file.append(line).expect("appended"));
    Recorded { path, dir }
}

fn lines() -> Vec<String> {
    sim::record(SCRIPT).expect("understood").lines
}

#[track_caller]
fn check(bytes: &[u8], args: ReplayArgs, expect: Result<bool, &str>) {
    let Recorded { path, dir: _dir } = recorded(&[]);
    std::fs::write(&path, bytes).expect("written");
    match (replay(&path, args), expect) {
        (Ok(same), Ok(expect)) => assert_eq!(same, expect),
        (Err(error), Err(text)) => {
            let error = format!("{error:#}");
            assert!(error.contains(text), "{error}");
        }
        (got, expect) => panic!("{got:?} instead of {expect:?}"),
    }
}

#[test]
fn recordings() {
    let good = recorded(&lines());
    let bytes = std::fs::read(&good.path).expect("read");
    let plain = ReplayArgs::default();
    check(&bytes, plain, Ok(true));
    check(b"", plain, Err("the recording is empty"));
    check(&bytes[..bytes.len() - 7], plain, Ok(true));
    check(&bytes[..7], plain, Err("the recording is empty"));
    let mut flipped = bytes.clone();
    let at = bytes.len() / 2;
    flipped[at] ^= 1;
    check(&flipped, plain, Err("line at byte"));
    check(&flipped, plain, Err("does not match its checksum"));
    check(b"what is this\n", plain, Err("line at byte 0: the line does not match"));
    check(&bytes, ReplayArgs { step: Some(5), ..plain }, Ok(true));
    check(&bytes, ReplayArgs { step: Some(5000), ..plain }, Err("there is no entry 5000"));
}

#[test]
fn differences() {
    let mut lines = lines();
    for line in &mut lines {
        *line = line.replace("suppress-begin", "suppress-other");
    }
    let file = recorded(&lines);
    let bytes = std::fs::read(&file.path).expect("read");
    check(&bytes, ReplayArgs::default(), Ok(false));
    check(&bytes, ReplayArgs { diff: true, step: None }, Ok(false));
}

#[test]
fn foreign_lines_have_their_place() {
    let mut tomorrow = lines();
    tomorrow[0] = Encoder::head("9").replace("\"schema\":2", "\"schema\":7");
    let file = recorded(&tomorrow);
    let error = replay(&file.path, ReplayArgs::default()).expect_err("refused");
    let text = format!("{error:#}");
    assert!(text.contains("line at byte 0") && text.contains("schema 7"), "{text}");
    let mut cut = lines();
    cut.remove(4);
    let file = recorded(&cut);
    let error = replay(&file.path, ReplayArgs::default()).expect_err("a line is missing");
    assert!(format!("{error:#}").contains("was expected"), "{error:#}");
}

#[test]
fn a_document_that_is_none_is_told() {
    let file = recorded(&[]);
    for (text, expect) in [("", "cannot be read"), ("{\"kind\":\"plan\"}", "kind \"plan\"")] {
        std::fs::write(&file.path, text).expect("written");
        let error = format!("{:#}", plan(&file.path, &Policy::default()).expect_err("refused"));
        assert!(error.contains(expect), "{error}");
    }
    let missing = file.dir.path().join("missing");
    assert!(plan(&missing, &Policy::default()).is_err());
}
