//! One record per line with its own checksum: `CRC32-HEX JSON\n`. A torn or flipped line is told
//! apart from a good one without reading the rest. Does not know what the JSON means.

/// A line as it stands in a file.
pub(crate) fn seal(json: &str) -> String {
    format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()))
}

/// The JSON of a sealed line without its newline; `None` when it is torn or altered.
pub(crate) fn open(line: &str) -> Option<&str> {
    let (crc, json) = line.split_once(' ')?;
    let crc = u32::from_str_radix(crc, 16).ok()?;
    (crc == crc32fast::hash(json.as_bytes())).then_some(json)
}

#[cfg(test)]
mod tests {
    use super::{open, seal};

    #[test]
    fn a_sealed_line_opens_and_any_flipped_byte_closes_it() {
        let line = seal(r#"{"a":1}"#);
        let line = line.trim_end();
        assert_eq!(open(line), Some(r#"{"a":1}"#));
        for idx in 0..line.len() {
            let mut torn = line.as_bytes().to_vec();
            torn[idx] ^= 1;
            let torn = String::from_utf8(torn).expect("ascii");
            assert_eq!(open(&torn), None, "byte {idx} flipped: {torn}");
        }
        for cut in 0..line.len() {
            assert_eq!(open(&line[..cut]), None, "cut at {cut}");
        }
    }
}
