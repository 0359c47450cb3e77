//! What the pages and manifests name must exist: flags and subcommands of our programs, ports,
//! configuration keys. Reads the command lines from clap's derive attributes and the keys from the
//! structs that serde fills; a name that the sources do not hold is a finding at the page.

use std::collections::BTreeSet;

use super::Finding;
use super::classify::is_word;
use super::commands::{CommandLine, blocks, embedded, in_manifest, in_page, in_unit};
use super::rust::{word_after, words};
use super::tree::{SourceFile, Tree};

/// A program of ours and the folder of its command line.
struct Program {
    words: &'static [&'static str],
    sources: &'static str,
}

const AGENT: Program = Program { words: &["berth-agent"], sources: "agent/src/" };
const PROGRAMS: [Program; 3] = [
    AGENT,
    Program { words: &["berth"], sources: "agent/cli/src/" },
    Program { words: &["cargo", "xtask"], sources: "xtask/src/" },
];

/// What clap adds to every program.
const BUILT_IN: [&str; 3] = ["help", "version", "V"];

/// A page that tells history or the future may name what is not there.
const NOT_THE_PRESENT: [&str; 2] = ["CHANGELOG.md", "docs/roadmap.md"];

/// The command line a program really has.
#[derive(Debug, Default)]
struct Known {
    flags: BTreeSet<String>,
    subcommands: BTreeSet<String>,
}

pub(super) fn flags(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for program in &PROGRAMS {
        let known = known(tree, program.sources);
        for page in pages(tree) {
            for command in in_page(&page.text) {
                if let Some(arguments) = arguments_of(program, &command) {
                    findings.extend(unknown(page, program, &known, command.line, arguments));
                }
            }
        }
    }
    let known = known(tree, AGENT.sources);
    for manifest in manifests(tree) {
        for command in in_manifest(manifest) {
            let own = arguments_of(&AGENT, &command).unwrap_or(&command.words);
            findings.extend(unknown(manifest, &AGENT, &known, command.line, own));
        }
    }
    for unit in tree.below("deploy/").filter(|file| file.extension() == "service") {
        for command in in_unit(unit) {
            if let Some(own) = arguments_of(&AGENT, &command) {
                findings.extend(unknown(unit, &AGENT, &known, command.line, own));
            }
        }
    }
    findings
}

fn pages(tree: &Tree) -> impl Iterator<Item = &SourceFile> {
    tree.files.iter().filter(|file| file.extension() == "md" && !is_not_present(file))
}

fn is_not_present(file: &SourceFile) -> bool {
    NOT_THE_PRESENT.contains(&file.path.as_str())
}

fn manifests(tree: &Tree) -> impl Iterator<Item = &SourceFile> {
    tree.below("deploy/").filter(|file| matches!(file.extension(), "yaml" | "yml"))
}

/// The words behind the program's name, when the line calls it.
fn arguments_of<'a>(program: &Program, command: &'a CommandLine) -> Option<&'a [String]> {
    let n_words = program.words.len();
    let (called, arguments) = command.words.split_at_checked(n_words)?;
    let same = called.iter().zip(program.words).all(|(word, name)| {
        let word = word.rsplit('/').next().unwrap_or_default();
        word == *name
    });
    same.then_some(arguments)
}

fn unknown(
    page: &SourceFile,
    program: &Program,
    known: &Known,
    line: usize,
    arguments: &[String],
) -> Vec<Finding> {
    let name = program.words.join(" ");
    let mut messages = Vec::new();
    if let Some(first) = arguments.first()
        && is_subcommand_word(first)
        && !known.subcommands.contains(first)
    {
        messages.push(format!("`{name}` has no subcommand `{first}` ({})", program.sources));
    }
    for word in arguments.iter().take_while(|word| *word != "--") {
        let Some(flag) = word.strip_prefix("--") else { continue };
        let flag = flag.split(['=', '|', ']']).next().unwrap_or_default();
        if !known.flags.contains(flag) && !BUILT_IN.contains(&flag) {
            messages.push(format!("`{name}` has no flag `--{flag}` ({})", program.sources));
        }
    }
    messages.into_iter().map(|message| Finding::error(page, line, "flag", message)).collect()
}

/// Placeholders are written in capitals or brackets.
fn is_subcommand_word(word: &str) -> bool {
    word != "help"
        && word.starts_with(|first: char| first.is_ascii_lowercase())
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'0'..=b'9'))
}

fn known(tree: &Tree, sources: &str) -> Known {
    let mut known = Known::default();
    for file in tree.below(sources).filter(|file| file.is_rust()) {
        known.flags.extend(flags_in(file));
        known.subcommands.extend(subcommands_in(file));
    }
    known
}

/// Fields under `#[arg(long)]`, by `long = ".."` where it is given, else by the field's name.
fn flags_in(file: &SourceFile) -> Vec<String> {
    let mut flags = Vec::new();
    for (at, marker) in file.code.match_indices("#[arg(") {
        let Some(len) = file.code[at..].find(")]") else { continue };
        let inside = at + marker.len()..at + len;
        let Some(long) = words(&file.code[inside.clone()], "long").next() else { continue };
        let rest = file.text[inside.start + long..inside.end].trim_start_matches("long");
        let named = rest.trim_start().strip_prefix('=').map(str::trim_start);
        let named = named.and_then(|rest| rest.strip_prefix('"')?.split('"').next());
        let flag = match named {
            Some(name) => name.to_owned(),
            None => field_after(&file.code, at + len + 2).replace('_', "-"),
        };
        flags.push(flag);
    }
    flags
}

/// The field's name, further attributes and the visibility skipped.
fn field_after(code: &str, at: usize) -> &str {
    let mut rest = code[at..].trim_start();
    while rest.starts_with("#[") {
        rest = rest.split_once(']').map_or("", |(_, rest)| rest.trim_start());
    }
    if let Some(behind) = rest.strip_prefix("pub") {
        rest = behind.trim_start();
        if rest.starts_with('(') {
            rest = rest.split_once(')').map_or("", |(_, rest)| rest.trim_start());
        }
    }
    word_after(rest, 0)
}

/// Variants of the enums that derive `Subcommand`, as clap spells them.
fn subcommands_in(file: &SourceFile) -> Vec<String> {
    let mut names = Vec::new();
    for at in words(&file.code, "Subcommand") {
        let rest = &file.code[at..];
        let is_derive = rest.find(']').is_some_and(|end| rest[..end].trim_end().ends_with(')'));
        let Some(open) = rest.find('{') else { continue };
        if is_derive && words(&rest[..open], "enum").next().is_some() {
            names.extend(variants(&rest[open..]).map(kebab));
        }
    }
    names
}

/// Names at the first level of the braces `code` begins with.
fn variants(code: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_usize;
    let mut expects_name = false;
    let mut names = Vec::new();
    for (at, byte) in code.bytes().enumerate() {
        match byte {
            b'{' | b'(' | b'[' => {
                depth += 1;
                expects_name |= depth == 1;
            }
            b'}' | b')' | b']' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            b',' if depth == 1 => expects_name = true,
            _ if depth == 1 && expects_name && is_word(byte) => {
                names.push(word_after(code, at));
                expects_name = false;
            }
            _ => {}
        }
    }
    names.into_iter()
}

fn kebab(name: &str) -> String {
    let mut out = String::new();
    for one in name.chars() {
        if one.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(one.to_ascii_lowercase());
    }
    out
}

/// A port in a manifest or behind `127.0.0.1:` on a page must stand in the agent's sources.
pub(super) fn ports(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in pages(tree).chain(manifests(tree)) {
        for (idx, line) in file.text.lines().enumerate() {
            for port in ports_in(file, line) {
                let mut sources = tree.below(AGENT.sources);
                if !sources.any(|source| words(&source.text, port).next().is_some()) {
                    let message = format!("port {port} is not in {}", AGENT.sources);
                    findings.push(Finding::error(file, idx + 1, "port", message));
                }
            }
        }
    }
    findings
}

fn ports_in<'a>(file: &SourceFile, line: &'a str) -> Vec<&'a str> {
    let markers: &[&str] = if file.extension() == "md" {
        &["127.0.0.1:", "localhost:"]
    } else {
        &["containerPort: ", "hostPort: ", "targetPort: ", "port: ", "127.0.0.1:"]
    };
    let found = markers.iter().flat_map(|marker| line.match_indices(marker));
    found
        .map(|(at, marker)| {
            let rest = &line[at + marker.len()..];
            &rest[..rest.bytes().take_while(u8::is_ascii_digit).count()]
        })
        .filter(|port| port.len() > 1)
        .collect()
}

/// Every key of a TOML example must be a field that serde fills.
pub(super) fn config_keys(tree: &Tree) -> Vec<Finding> {
    let fields = fields(tree);
    let mut findings = Vec::new();
    for page in pages(tree).filter(|page| !page.path.starts_with("CONTRIBUTING")) {
        for block in blocks(&page.text).iter().filter(|block| block.language == "toml") {
            let text = block.lines.join("\n");
            findings.extend(unknown_keys(page, block.line + 1, &text, &fields));
        }
    }
    for manifest in manifests(tree) {
        for (line, text) in embedded(manifest, ".toml") {
            findings.extend(unknown_keys(manifest, line, &text, &fields));
        }
    }
    for file in tree.below("deploy/").filter(|file| file.extension() == "toml") {
        findings.extend(unknown_keys(file, 1, &file.text, &fields));
    }
    findings
}

fn unknown_keys(
    file: &SourceFile,
    first_line: usize,
    text: &str,
    fields: &BTreeSet<String>,
) -> Vec<Finding> {
    let table = match text.parse::<toml::Table>() {
        Ok(table) => table,
        Err(error) => {
            let message = format!("not TOML: {}", error.message());
            return vec![Finding::error(file, first_line, "config-key", message)];
        }
    };
    let mut keys = BTreeSet::new();
    collect_keys(&toml::Value::Table(table), &mut keys);
    keys.retain(|key| !fields.contains(&key.replace('-', "_")));
    keys.into_iter()
        .map(|key| {
            let at = words(text, &key).next().unwrap_or_default();
            let line = first_line + super::classify::line_of(text, at) - 1;
            let message = format!("`{key}` is no key of the configuration ({})", AGENT.sources);
            Finding::error(file, line, "config-key", message)
        })
        .collect()
}

fn collect_keys(value: &toml::Value, keys: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                keys.insert(key.clone());
                collect_keys(value, keys);
            }
        }
        toml::Value::Array(values) => values.iter().for_each(|value| collect_keys(value, keys)),
        _ => {}
    }
}

/// Where the inner keys of `enhancements` stand, which are a map to serde.
const WISHES: &str = "agent/model/src/annotation.rs";

/// Names before a single `:` in the agent's files that use serde's `Deserialize`, and the keys of
/// wishes.
fn fields(tree: &Tree) -> BTreeSet<String> {
    let files = tree.below(AGENT.sources).filter(|file| file.code.contains("Deserialize"));
    let fields = files.flat_map(|file| file.code.lines()).filter_map(field_of);
    // Without a domain, as the configuration writes them.
    let quoted = tree.below(WISHES).flat_map(|file| file.text.split('"').skip(1).step_by(2));
    let wishes = quoted.map(|key| key.rsplit('/').next().unwrap_or(key));
    fields.chain(wishes).map(str::to_owned).collect()
}

fn field_of(line: &str) -> Option<&str> {
    let line = line.trim();
    let line = line
        .split_once(") ")
        .map_or(line, |(before, rest)| if before.starts_with("pub(") { rest } else { line });
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let name = word_after(line, 0);
    let rest = &line[name.len()..];
    (!name.is_empty() && rest.starts_with(':') && !rest.starts_with("::")).then_some(name)
}
