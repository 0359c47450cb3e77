//! Tells code, comments and string literals of a Rust file apart, and production lines from test
//! lines. A scanner, not a parser: it knows tokens that can hide text and matching brackets,
//! nothing of grammar. Byte offsets and line numbers stay those of the original.

/// What a byte of Rust source belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Code,
    Comment,
    /// Inside a string or character literal, quotes included.
    Literal,
}

/// One class per byte of `source`.
pub(super) fn classify(source: &str) -> Vec<Class> {
    let bytes = source.as_bytes();
    let mut classes = Vec::with_capacity(bytes.len());
    while classes.len() < bytes.len() {
        let at = classes.len();
        let (class, len) = token(bytes, at);
        classes.resize((at + len).min(bytes.len()), class);
    }
    classes
}

/// `source` with every byte that is not of class `keep` blanked, line breaks kept.
pub(super) fn only(source: &str, classes: &[Class], keep: Class) -> String {
    let kept = source.bytes().zip(classes).map(|(byte, class)| match byte {
        b'\n' => b'\n',
        _ if *class == keep => byte,
        _ => b' ',
    });
    String::from_utf8_lossy(&kept.collect::<Vec<u8>>()).into_owned()
}

fn token(bytes: &[u8], at: usize) -> (Class, usize) {
    let rest = &bytes[at..];
    let after_word = at > 0 && is_word(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => (Class::Comment, len_until(rest, b'\n')),
        [b'/', b'*', ..] => (Class::Comment, block_comment_len(rest)),
        [b'"', ..] => (Class::Literal, quoted_len(rest, b'"')),
        [b'r', b'"' | b'#', ..] if !after_word || matches!(bytes[at - 1], b'b' | b'c') => {
            raw_string_len(rest).map_or((Class::Code, 1), |len| (Class::Literal, len))
        }
        [b'\'', b'\\', ..] => (Class::Literal, quoted_len(rest, b'\'')),
        [b'\'', first, ..] => {
            let close = 1 + utf8_len(*first);
            let is_char = rest.get(close) == Some(&b'\'') && *first != b'\'';
            if is_char { (Class::Literal, close + 1) } else { (Class::Code, 1) }
        }
        _ => (Class::Code, 1),
    }
}

pub(super) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn len_until(rest: &[u8], end: u8) -> usize {
    rest.iter().position(|byte| *byte == end).unwrap_or(rest.len())
}

fn block_comment_len(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] if depth == 1 => return at + 2,
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

fn quoted_len(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `None` for a raw identifier such as `r#type`.
fn raw_string_len(rest: &[u8]) -> Option<usize> {
    let n_hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    if rest.get(1 + n_hashes) != Some(&b'"') {
        return None;
    }
    let mut end = vec![b'"'];
    end.resize(1 + n_hashes, b'#');
    let body = &rest[2 + n_hashes..];
    let found = body.windows(end.len()).position(|window| window == end);
    Some(found.map_or(rest.len(), |at| 2 + n_hashes + at + end.len()))
}

const fn utf8_len(first: u8) -> usize {
    match first {
        0xF0.. => 4,
        0xE0.. => 3,
        0xC0.. => 2,
        _ => 1,
    }
}

/// For each line of `code` (see [`only`]): does it belong to production, that is, is it outside of
/// every item under `#[cfg(test)]`?
pub(super) fn production_lines(code: &str) -> Vec<bool> {
    let mut production = vec![true; code.lines().count()];
    for marker in ["#[cfg(test)]", "#[cfg(all(test"] {
        for (at, _) in code.match_indices(marker) {
            let end = item_end(code, at);
            let first = line_of(code, at) - 1;
            let last = line_of(code, end.min(code.len().saturating_sub(1))) - 1;
            let last = last.min(production.len().saturating_sub(1));
            production[first..=last].fill(false);
        }
    }
    production
}

/// Counted from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Offset of the last byte of the item whose attributes begin at `at`.
fn item_end(code: &str, at: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b'}' if depth == 1 => return offset,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => return offset,
            _ => {}
        }
    }
    code.len()
}
