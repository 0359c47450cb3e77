//! The file of a recording: sealed lines as in the decision log, and an old file beside the new one, so
//! that both together stay under a bound. Does not know what a line means.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::line;

/// A line longer than this is not ours: a thousand workloads whole are 3 MiB.
const MAX_LINE_BYTES: u64 = 256 << 20;

/// An open recording.
#[derive(Debug)]
pub struct RecordingFile {
    path: PathBuf,
    file: File,
    size: u64,
    /// Of each of the two files.
    limit: u64,
}

impl RecordingFile {
    /// Begins a new file; one that was there is kept as the old one. Both stay under `max_bytes`.
    pub fn create(path: &Path, max_bytes: u64) -> io::Result<RecordingFile> {
        let mut this = RecordingFile {
            path: path.to_owned(),
            file: open(path)?,
            size: 0,
            limit: max_bytes / 2,
        };
        this.size = this.file.metadata()?.len();
        if this.size > 0 {
            this.begin_anew()?;
        }
        Ok(this)
    }

    /// Moves the file aside, over the one moved before, and goes on with an empty one.
    pub fn begin_anew(&mut self) -> io::Result<()> {
        fs::rename(&self.path, old_path(&self.path))?;
        self.file = open(&self.path)?;
        self.size = 0;
        Ok(())
    }

    /// Appends one line of JSON. After an error the last line may be torn.
    pub fn append(&mut self, json: &str) -> io::Result<()> {
        let line = line::seal(json);
        self.size += line.len() as u64;
        self.file.write_all(line.as_bytes())
    }

    /// It is time to begin a new one.
    pub fn is_filling(&self) -> bool {
        self.size >= self.limit / 8 * 7
    }

    /// Nothing more may be appended.
    pub fn is_full(&self) -> bool {
        self.size >= self.limit
    }
}

/// Where the file before is.
pub fn old_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

/// One line of a file.
#[derive(Debug)]
pub struct Line {
    /// Where it begins.
    pub offset: u64,
    pub json: Result<String, Damage>,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The last one, without its end: whoever wrote it was stopped meanwhile.
    #[error("the last line is cut off")]
    Torn,
    #[error("the line does not match its checksum")]
    Checksum,
    #[error("the line is longer than {MAX_LINE_BYTES} bytes")]
    TooLong,
    #[error("reading failed")]
    Read(#[source] io::Error),
}

/// The lines of a recording; ends after one that is cut off, too long or cannot be read.
#[derive(Debug)]
pub struct Lines<R> {
    from: R,
    offset: u64,
    ended: bool,
}

impl Lines<io::BufReader<File>> {
    /// Of a file that a person names.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Lines::new(io::BufReader::new(File::open(path)?)))
    }
}

impl<R: BufRead> Lines<R> {
    pub fn new(from: R) -> Lines<R> {
        Lines { from, offset: 0, ended: false }
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = Line;

    fn next(&mut self) -> Option<Line> {
        if self.ended {
            return None;
        }
        let (offset, mut bytes) = (self.offset, Vec::new());
        let limited = &mut io::Read::take(&mut self.from, MAX_LINE_BYTES);
        let json = match limited.read_until(b'\n', &mut bytes) {
            Ok(0) => return None,
            Ok(n_bytes) => {
                self.offset += n_bytes as u64;
                opened(bytes)
            }
            Err(error) => Err(Damage::Read(error)),
        };
        self.ended = matches!(json, Err(Damage::Torn | Damage::TooLong | Damage::Read(_)));
        Some(Line { offset, json })
    }
}

fn opened(bytes: Vec<u8>) -> Result<String, Damage> {
    if bytes.last() != Some(&b'\n') {
        let is_long = bytes.len() as u64 == MAX_LINE_BYTES;
        return Err(if is_long { Damage::TooLong } else { Damage::Torn });
    }
    let text = String::from_utf8(bytes).ok().ok_or(Damage::Checksum)?;
    line::open(text.trim_end_matches('\n')).map(str::to_owned).ok_or(Damage::Checksum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Line> {
        Lines::new(bytes).collect()
    }

    fn written(lines: &[&str]) -> Vec<u8> {
        lines.iter().map(|json| line::seal(json)).collect::<String>().into_bytes()
    }

    #[track_caller]
    fn check(bytes: &[u8], expect: &[(u64, &str)]) {
        let said = |line: &Line| match &line.json {
            Ok(json) => json.clone(),
            Err(damage) => damage.to_string(),
        };
        let got: Vec<(u64, String)> =
            read(bytes).iter().map(|line| (line.offset, said(line))).collect();
        let expect: Vec<(u64, String)> =
            expect.iter().map(|(offset, text)| (*offset, (*text).to_owned())).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn damage_is_told_with_its_place() {
        let good = written(&["{}", "[1]"]);
        check(&good, &[(0, "{}"), (12, "[1]")]);
        check(b"", &[]);
        check(
            b"\n\n",
            &[(0, Damage::Checksum.to_string().as_str()), (1, &Damage::Checksum.to_string())],
        );
        check(&good[..good.len() - 1], &[(0, "{}"), (12, "the last line is cut off")]);
        check(&good[..5], &[(0, "the last line is cut off")]);
        let mut flipped = good.clone();
        flipped[10] ^= 4;
        check(&flipped, &[(0, "the line does not match its checksum"), (12, "[1]")]);
        flipped[10] = 0xff;
        check(&flipped, &[(0, "the line does not match its checksum"), (12, "[1]")]);
    }

    /// A line is damaged, or (its end is hit) two lines become one damaged line, or the last one is cut
    /// off. A hexadecimal digit of another case changes nothing.
    #[test]
    fn no_flipped_bit_changes_what_is_read() {
        let texts = ["{\"a\":1}", "[1]", "[2]"];
        let good = written(&texts);
        for idx in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[idx / 8] ^= 1 << (idx % 8);
            let lines = read(&flipped);
            let whole: Vec<&str> =
                lines.iter().filter_map(|line| line.json.as_deref().ok()).collect();
            assert!(lines.iter().any(|line| line.json.is_err()) || whole == texts, "bit {idx}");
        }
    }

    #[test]
    fn two_files_stay_under_the_bound() {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("recording");
        let mut file = RecordingFile::create(&path, 4096).expect("created");
        for n in 0..500 {
            if file.is_filling() {
                file.begin_anew().expect("moved");
            }
            assert!(!file.is_full());
            file.append(&n.to_string()).expect("appended");
        }
        let size = |path: &Path| fs::metadata(path).expect("there").len();
        assert!(size(&path) + size(&old_path(&path)) <= 4096);
        let last = read(&fs::read(&path).expect("read")).pop().expect("a line");
        assert_eq!(last.json.expect("good"), "499");
        // The next agent keeps what the last one wrote.
        drop(RecordingFile::create(&path, 4096).expect("created"));
        assert_eq!(size(&path), 0);
        let old = read(&fs::read(old_path(&path)).expect("read"));
        assert_eq!(old.last().expect("a line").json.as_ref().expect("good"), "499");
    }
}
