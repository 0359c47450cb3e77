//! The table against the spelling (`annotation.rs`), the readers and the page made of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::expect_file;

use super::*;
use crate::overcommit::NodeOvercommit;
use crate::pod::{Ask, Container, ContainerRole, Pod, Requests};
use crate::qos::{KOORDINATOR, Keys, PodUid, QosRules, WorkloadName};

const SPELLING: &str = include_str!("../../annotation.rs");
const PAGE: &str = include_str!("../../../../../docs/katalyst.md");
const BEGIN: &str = "<!-- made from agent/model/src/annotation/table.rs, do not edit -->\n";
const END: &str = "<!-- end -->\n";

fn rows() -> impl Iterator<Item = &'static Row> {
    TABLE.iter().flat_map(|section| section.rows)
}

fn one(key: &str, value: &str) -> Keys {
    Keys::from([(key.to_owned(), value.to_owned())])
}

fn pod(annotations: Keys, labels: Keys) -> Pod {
    Pod {
        uid: PodUid::from("u"),
        name: WorkloadName::from("shop/web"),
        owner: None,
        labels,
        annotations,
        containers: vec![Container {
            name: "main".to_owned(),
            role: ContainerRole::App,
            requests: Requests::default(),
        }],
        running: false,
    }
}

/// What the reader of a row says to a value.
fn read(row: &Row, value: &str) -> Result<(), String> {
    let ask = |annotations: Keys, labels: Keys| {
        Ask::of(&pod(annotations, labels), &QosRules::default())
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let node = |annotations: Keys, labels: Keys| {
        NodeOvercommit::read(&annotations, &labels).map(drop).map_err(|error| error.to_string())
    };
    match row.place {
        Place::PodAnnotation => ask(one(row.key, value), Keys::new()),
        Place::PodLabel => ask(Keys::new(), one(row.key, value)),
        Place::Inside(outer) => {
            ask(one(outer, &serde_json::json!({ row.key: value }).to_string()), Keys::new())
        }
        Place::Request => Requests::read(&one(row.key, value)).map(drop).map_err(|e| e.to_string()),
        Place::NodeAnnotation => node(one(row.key, value), Keys::new()),
        Place::NodeLabel => node(Keys::new(), one(row.key, value)),
    }
}

/// The texts of `pub const NAME: &str = "..";` in the file of the spelling.
fn spelled() -> Vec<&'static str> {
    let consts = SPELLING.split("pub const ").skip(1);
    let texts = consts.filter_map(|rest| {
        let (head, value) = rest.split_once(';')?.0.split_once('=')?;
        head.ends_with(": &str ").then(|| value.trim().trim_matches('"'))
    });
    texts.collect()
}

#[test]
fn every_key_has_one_row_and_every_row_a_key() {
    let (mut keys, mut spelled): (Vec<&str>, _) = (rows().map(|row| row.key).collect(), spelled());
    assert!(spelled.len() > 50, "{spelled:?}");
    keys.sort_unstable();
    spelled.sort_unstable();
    assert_eq!(keys, spelled);
}

/// Any text is accepted where a row names no bad one.
#[test]
fn the_reader_takes_the_good_value_and_refuses_the_bad_one() {
    for row in rows() {
        assert_eq!(read(row, row.good), Ok(()), "{row:?}");
        match row.bad {
            Some(bad) => {
                let said = read(row, bad).expect_err(row.key);
                assert!(said.contains(row.key), "{said}");
                assert!(bad.is_empty() || said.contains(bad) || said.contains(&format!("{bad:?}")));
            }
            None => assert_eq!(read(row, "\u{1F600} {[\"-1"), Ok(()), "{row:?}"),
        }
    }
}

#[test]
fn what_is_done_can_be_said_wrongly() {
    for row in rows().filter(|row| row.state == State::Done) {
        assert!(row.bad.is_some(), "{row:?}");
    }
}

/// A value that is accepted and changes nothing that a node goes by is not "done", and the other way round.
#[test]
fn what_is_done_changes_what_is_asked_for() {
    let spec = |annotations: Keys, labels: Keys| {
        let ask = Ask::of(&pod(annotations, labels), &QosRules::default()).expect("understood");
        // What a node keeps of it (`runtime::pods`): the directives are not among it.
        (ask.level, ask.wish, ask.cpu)
    };
    let nothing = spec(Keys::new(), Keys::new());
    let dedicated = one(crate::annotation::QOS_LEVEL, "dedicated_cores");
    let beside = spec(dedicated.clone(), Keys::new());
    for row in rows() {
        let annotations = match row.place {
            Place::PodAnnotation => one(row.key, row.good),
            Place::Inside(outer) => {
                one(outer, &serde_json::json!({ row.key: row.good }).to_string())
            }
            Place::PodLabel => {
                let changed = spec(Keys::new(), one(row.key, row.good)) != nothing;
                assert_eq!(changed, row.state == State::Done, "{row:?}");
                continue;
            }
            _ => continue,
        };
        let mut both: BTreeMap<_, _> = dedicated.clone();
        both.extend(annotations.clone());
        let changed =
            spec(annotations, Keys::new()) != nothing || spec(both, Keys::new()) != beside;
        let kept = changed && row.key != crate::annotation::NETWORK_ENHANCEMENT;
        let is_wish = matches!(row.place, Place::Inside(_));
        let done = row.state == State::Done;
        // An unused wish is kept as well; nobody looks at it.
        assert!(kept == done || (is_wish && !done), "{row:?}: changed {changed}");
    }
}

fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

fn table(section: &Section) -> String {
    let mut text = format!(
        "### {}\n\n| key | values | what follows | state | for example refused | Katalyst |\n|---|---|---|---|---|---|\n",
        section.title
    );
    for row in section.rows {
        let key = match row.place {
            Place::Inside(outer) => {
                let outer = outer.rsplit('/').next().unwrap_or(outer);
                format!("`{}` in `{outer}`", row.key)
            }
            Place::PodLabel | Place::NodeLabel => format!("label `{}`", row.key),
            _ => format!("`{}`", row.key),
        };
        let refused = row.bad.and_then(|bad| read(row, bad).err());
        let refused = refused.map_or_else(|| "nothing".to_owned(), |said| code(&said));
        let katalyst = if row.katalyst.is_empty() { "the same" } else { row.katalyst };
        let katalyst =
            if row.state == State::Done || !row.katalyst.is_empty() { katalyst } else { "" };
        let Row { values, meaning, state, .. } = row;
        writeln!(
            text,
            "| {key} | {values} | {meaning} | {} | {refused} | {katalyst} |",
            state.name()
        )
        .expect("a String takes everything");
    }
    text
}

fn aliases() -> String {
    let rows = KOORDINATOR.iter().map(|(alias, level)| format!("| `{alias}` | `{level}` |\n"));
    format!(
        "### Values of `{}`\n\n| Koordinator | level |\n|---|---|\n{}",
        crate::annotation::KOORDINATOR_QOS,
        rows.collect::<String>()
    )
}

/// `UPDATE_EXPECT=1 cargo test -p model` writes the page anew.
#[test]
fn the_page_has_these_tables() {
    let (before, rest) = PAGE.split_once(BEGIN).expect("the first mark");
    let (_, after) = rest.split_once(END).expect("the second mark");
    let mut sections: Vec<String> = TABLE.iter().map(table).collect();
    sections.insert(1, aliases());
    let page = format!("{before}{BEGIN}\n{}\n{END}{after}", sections.join("\n"));
    expect_file!["../../../../../docs/katalyst.md"].assert_eq(&page);
}
