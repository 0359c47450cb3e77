//! Finds in pages and manifests what a reader may copy: command lines, fenced blocks, inline code.
//! Pure text work; what the words must match is decided in `named`.

use super::tree::SourceFile;

/// A fenced block of a Markdown page.
#[derive(Debug)]
pub(super) struct Block<'a> {
    /// The first word behind the fence (`toml`, `console`), or empty.
    pub(super) language: &'a str,
    /// Line number of the fence, counted from 1.
    pub(super) line: usize,
    pub(super) lines: Vec<&'a str>,
}

/// A command line somebody may copy, with the line it stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommandLine {
    pub(super) line: usize,
    pub(super) words: Vec<String>,
}

pub(super) fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut open: Option<Block<'_>> = None;
    for (idx, line) in text.lines().enumerate() {
        let fence = line.trim_start().strip_prefix("```");
        open = match (open.take(), fence) {
            (None, Some(rest)) => {
                let language = rest.split([' ', ',']).next().unwrap_or_default().trim();
                Some(Block { language, line: idx + 1, lines: Vec::new() })
            }
            (Some(block), Some(_)) => {
                blocks.push(block);
                None
            }
            (Some(mut block), None) => {
                block.lines.push(line);
                Some(block)
            }
            (None, None) => None,
        };
    }
    blocks
}

/// Lines outside of every fence, with their numbers.
pub(super) fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (idx, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((idx + 1, line));
        }
    }
    lines
}

/// Commands of a page: lines of its fenced blocks and its inline code.
pub(super) fn in_page(text: &str) -> Vec<CommandLine> {
    let mut found = Vec::new();
    for block in blocks(text) {
        if matches!(block.language, "" | "console" | "sh" | "bash" | "shell" | "text") {
            found.extend(in_block(&block));
        }
    }
    for (line, text) in prose(text) {
        for code in text.split('`').skip(1).step_by(2) {
            found.push(CommandLine { line, words: split_words(code) });
        }
    }
    found
}

/// Where a block shows prompts, everything else in it is output.
fn in_block(block: &Block<'_>) -> Vec<CommandLine> {
    let has_prompt = block.lines.iter().any(|line| line.starts_with("$ "));
    let mut found: Vec<CommandLine> = Vec::new();
    let mut continued = false;
    for (idx, line) in block.lines.iter().enumerate() {
        let command = if continued || !has_prompt { Some(*line) } else { line.strip_prefix("$ ") };
        let Some(command) = command else { continue };
        let words = split_words(command.trim_end_matches('\\'));
        match found.last_mut() {
            Some(last) if continued => last.words.extend(words),
            _ => found.push(CommandLine { line: block.line + 1 + idx, words }),
        }
        continued = command.ends_with('\\');
    }
    found
}

/// Up to the first comment, pipe or separator; quotes, brackets and commas of usage lines removed.
fn split_words(line: &str) -> Vec<String> {
    line.split_whitespace()
        .take_while(|word| !matches!(*word, "|" | "||" | "&&" | ";" | "#" | "&" | ">"))
        .skip_while(|word| *word == "sudo" || is_assignment(word))
        .map(|word| word.trim_matches(['[', ']', '"', '\'', ',', '(', ')', '.', ';', ':']))
        .map(str::to_owned)
        .collect()
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    })
}

/// Arguments of the containers in a manifest: every `args:` or `command:` list, flow or block
/// style, as one command line per list.
pub(super) fn in_manifest(file: &SourceFile) -> Vec<CommandLine> {
    let mut found: Vec<CommandLine> = Vec::new();
    let mut list_indent: Option<usize> = None;
    for (idx, line) in file.text.lines().enumerate() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let item = trimmed.strip_prefix("- ");
        let key = item.unwrap_or(trimmed);
        if let Some(rest) = key.strip_prefix("args:").or_else(|| key.strip_prefix("command:")) {
            let words = split_words(&rest.replace(',', " "));
            found.push(CommandLine { line: idx + 1, words });
            list_indent = rest.trim().is_empty().then_some(indent);
        } else if let (Some(at), Some(item)) = (list_indent, item)
            && indent >= at
            && let Some(last) = found.last_mut()
        {
            last.words.extend(split_words(item));
        } else if !trimmed.is_empty() && !trimmed.starts_with('#') {
            list_indent = None;
        }
    }
    found
}

/// The `ExecStart=` lines of a systemd unit and their like.
pub(super) fn in_unit(file: &SourceFile) -> Vec<CommandLine> {
    let command = |(idx, line): (usize, &str)| {
        let (_, text) = line.strip_prefix("Exec")?.split_once('=')?;
        Some(CommandLine { line: idx + 1, words: split_words(text) })
    };
    file.text.lines().enumerate().filter_map(command).collect()
}

/// Text of the `NAME: |` scalars of a manifest whose name ends with `suffix`, without their
/// indentation, with the line each begins on.
pub(super) fn embedded(file: &SourceFile, suffix: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut inside: Option<usize> = None;
    for (idx, line) in file.text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let blank = line.trim().is_empty();
        match inside {
            Some(at) if blank || indent > at => {
                if let Some((_, text)) = found.last_mut() {
                    text.push_str(line.get(at + 2..).unwrap_or_default());
                    text.push('\n');
                }
            }
            _ => {
                let key = line.trim().strip_suffix('|').map(str::trim_end);
                let opens = key.is_some_and(|key| key.ends_with(&format!("{suffix}:")));
                inside = opens.then_some(indent);
                if opens {
                    found.push((idx + 2, String::new()));
                }
            }
        }
    }
    found
}
