//! The bits of text that all parsers share: numbers, one-value files, `key value` lines. Pure.

/// Text that is not what the kernel's documentation promises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct ParseError {
    /// What stood there, cut to [`MAX_SHOWN`] bytes.
    pub value: String,
    pub expected: &'static str,
}

/// A broken file is shown up to here; more would flood a log line.
pub const MAX_SHOWN: usize = 120;

impl ParseError {
    pub fn new(value: &str, expected: &'static str) -> ParseError {
        let mut end = value.len().min(MAX_SHOWN);
        while !value.is_char_boundary(end) {
            end -= 1;
        }
        ParseError { value: value[..end].to_owned(), expected }
    }
}

/// An unsigned decimal number and nothing else; a sign or a space inside is malformed.
pub fn number(text: &str) -> Result<u64, ParseError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match digits {
        true => {
            text.parse().map_err(|_too_big| ParseError::new(text, "a number of at most 64 bits"))
        }
        false => Err(ParseError::new(text, "an unsigned number")),
    }
}

/// A file that holds one number.
pub fn single(text: &str) -> Result<u64, ParseError> {
    number(text.trim())
}

/// A file that holds `0` or `1`.
pub fn flag(text: &str) -> Result<bool, ParseError> {
    match text.trim() {
        "0" => Ok(false),
        "1" => Ok(true),
        other => Err(ParseError::new(other, "0 or 1")),
    }
}

/// The number behind `key` in a file of `key value` lines; `None` when the key is missing.
pub fn keyed(text: &str, key: &str) -> Result<Option<u64>, ParseError> {
    for line in text.lines() {
        if let Some((found, value)) = line.split_once(' ')
            && found == key
        {
            return number(value.trim()).map(Some);
        }
    }
    Ok(None)
}

/// Like [`keyed`], for keys that every kernel has.
pub fn required(text: &str, key: &'static str) -> Result<u64, ParseError> {
    keyed(text, key)?.ok_or_else(|| ParseError::new(text, key))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Text made of what kernel files are made of, in any order, and of what they never hold.
    pub(crate) fn arb_text() -> impl Strategy<Value = String> {
        const PIECES: [&str; 48] = [
            " ",
            " ",
            " ",
            "\n",
            "\n",
            "\n",
            "0",
            "1",
            "7",
            "10",
            "100000",
            "4294967296",
            "18446744073709551615",
            "18446744073709551616",
            "-1",
            "-",
            ",",
            ":",
            "/",
            "=",
            ".",
            "a",
            "ff",
            "max",
            "some",
            "full",
            "avg10=",
            "0.00",
            "total=",
            "populated",
            "frozen",
            "usage_usec",
            "user_usec",
            "system_usec",
            "anon",
            "8:0",
            "rbytes=",
            "root",
            " invalid",
            "(",
            "cpu",
            "version 15",
            "MemTotal:",
            " kB",
            "cgroup2",
            "\\040",
            "*",
            "é\u{0}",
        ];
        prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60)
            .prop_map(|pieces| pieces.concat())
    }

    #[test]
    fn numbers_are_digits_only() {
        for (text, expected) in [("0", Some(0)), ("18446744073709551615", Some(u64::MAX))] {
            assert_eq!(number(text).ok(), expected, "{text}");
        }
        for text in ["", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "max", "١"] {
            assert!(number(text).is_err(), "{text:?} must not be a number");
        }
        assert_eq!(single("42\n"), Ok(42));
    }

    #[test]
    fn flags_are_zero_or_one() {
        assert_eq!(flag("1\n"), Ok(true));
        assert_eq!(flag("0\n"), Ok(false));
        assert_eq!(flag("2\n").ok(), None);
        assert_eq!(flag("").ok(), None);
    }

    #[test]
    fn a_missing_key_is_not_zero() {
        assert_eq!(keyed("a 1\nb 2\n", "b"), Ok(Some(2)));
        assert_eq!(keyed("ab 1\n", "a"), Ok(None));
        assert_eq!(keyed("a x\n", "a").ok(), None);
        assert_eq!(required("b 1\n", "a").ok(), None);
    }

    #[test]
    fn a_long_value_is_cut_at_a_character() {
        let error = ParseError::new(&"é".repeat(200), "short");
        assert_eq!(error.value.len(), MAX_SHOWN);
    }
}
