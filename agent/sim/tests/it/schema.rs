//! The two JSON schemas of `README.md`: every document and answer of the scenarios keeps them, and they
//! name every key that the reader of documents knows. Has a validator of the few keywords they use.

use serde_json::Value as Json;
use sim::simulate;

const PAGE: &str = include_str!("../../README.md");

/// The schema below a heading.
fn schema(heading: &str) -> Json {
    let (_, rest) = PAGE.split_once(heading).expect("the heading");
    let block = rest.split("```json\n").nth(1).and_then(|rest| rest.split("```").next());
    serde_json::from_str(block.expect("a block")).expect("JSON")
}

fn of_documents() -> Json {
    schema("### JSON schema of a document")
}

fn of_lines() -> Json {
    schema("### JSON schema of a line")
}

/// The document, less the steps that were refused, and all lines keep the schemas.
#[track_caller]
pub(crate) fn check(text: &str, lines: &str) {
    let (documents, of_lines) = (of_documents(), of_lines());
    let options = serde_saphyr::options! {
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::PassThrough,
    };
    let mut document: Json = serde_saphyr::from_str_with_options(text, options).expect("YAML");
    let mut lines = lines.lines().map(|line| serde_json::from_str::<Json>(line).expect("JSON"));
    if let Some(steps) = document["steps"].as_array_mut() {
        steps.retain(|_| {
            let line = lines.next().expect("a line per step");
            let kept = Schema { root: &of_lines }.check(&of_lines, &line, "line");
            kept.unwrap_or_else(|why| panic!("{why}: {line}"));
            line["ok"] == true
        });
    }
    let kept = Schema { root: &documents }.check(&documents, &document, "document");
    kept.unwrap_or_else(|why| panic!("{why}"));
}

struct Schema<'a> {
    root: &'a Json,
}

/// Keywords that say nothing about a value, or more than is compared here.
const SAID: [&str; 5] = ["$schema", "$defs", "description", "pattern", "additionalProperties"];

impl Schema<'_> {
    fn check(&self, schema: &Json, value: &Json, path: &str) -> Result<(), String> {
        for (keyword, wanted) in schema.as_object().expect("a schema is a map") {
            let kept = match keyword.as_str() {
                "$ref" => {
                    let target = wanted.as_str().and_then(|name| name.strip_prefix('#'));
                    let target = target.and_then(|name| self.root.pointer(name));
                    self.check(target.expect("a definition"), value, path)?;
                    true
                }
                "type" => each(wanted).any(|name| is_of_type(value, name)),
                "enum" => each(wanted).any(|allowed| allowed == value),
                "anyOf" => each(wanted).any(|one| self.check(one, value, path).is_ok()),
                "minimum" => value.as_f64() >= wanted.as_f64() || !value.is_number(),
                "maximum" => value.as_f64() <= wanted.as_f64() || !value.is_number(),
                "required" => each(wanted).all(|key| {
                    !value.is_object() || value.get(key.as_str().expect("a key")).is_some()
                }),
                "minProperties" => value.as_object().is_none_or(|map| map.len() >= size(wanted)),
                "maxProperties" => value.as_object().is_none_or(|map| map.len() <= size(wanted)),
                "maxItems" => value.as_array().is_none_or(|list| list.len() <= size(wanted)),
                "items" => self.check_items(wanted, value, path).map(|()| true)?,
                "properties" => true,
                said if SAID.contains(&said) => true,
                strange => panic!("the schema has {strange}, which is not compared"),
            };
            if !kept {
                return Err(format!("{path}: {value} is against {keyword}: {wanted}"));
            }
        }
        self.check_properties(schema, value, path)
    }

    fn check_items(&self, schema: &Json, value: &Json, path: &str) -> Result<(), String> {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut items = items.iter().enumerate();
        items.try_for_each(|(idx, item)| self.check(schema, item, &format!("{path}[{idx}]")))
    }

    fn check_properties(&self, schema: &Json, value: &Json, path: &str) -> Result<(), String> {
        for (key, value) in value.as_object().into_iter().flatten() {
            let below = format!("{path}.{key}");
            let known = schema.get("properties").and_then(|known| known.get(key));
            match known.or_else(|| schema.get("additionalProperties")) {
                Some(Json::Bool(false)) => return Err(format!("{below}: no such key")),
                Some(Json::Bool(true)) | None => {}
                Some(schema) => self.check(schema, value, &below)?,
            }
        }
        Ok(())
    }
}

fn each(wanted: &Json) -> impl Iterator<Item = &Json> {
    let one = std::slice::from_ref(wanted);
    wanted.as_array().map_or(one, Vec::as_slice).iter()
}

fn size(wanted: &Json) -> usize {
    wanted.as_u64().and_then(|n| usize::try_from(n).ok()).expect("a count")
}

fn is_of_type(value: &Json, name: &Json) -> bool {
    match name.as_str().expect("the name of a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        strange => panic!("no type {strange}"),
    }
}

/// Names that a refusal of the key `zzz` says are allowed.
fn allowed(text: &str) -> Vec<String> {
    let said = simulate(text, &|_| Err("no tree".to_owned())).lines;
    let line: Json = serde_json::from_str(said.lines().last().expect("a line")).expect("JSON");
    let error = line["error"].as_str().unwrap_or_default().to_owned();
    let (_, names) = error.rsplit_once("allowed are ").unwrap_or_else(|| panic!("{text}: {error}"));
    let mut names: Vec<String> = names.split(", ").map(str::to_owned).collect();
    names.sort();
    names
}

/// The properties at a place of the schema of documents are what the reader takes there.
#[track_caller]
fn check_keys(place: &str, text: &str) {
    let documents = of_documents();
    let schema = documents.pointer(place).unwrap_or_else(|| panic!("no {place}"));
    let known = schema["properties"].as_object().expect("a map of properties");
    let mut known: Vec<&str> = known.keys().map(String::as_str).collect();
    known.sort_unstable();
    assert_eq!(known, allowed(text), "{place}");
}

#[test]
fn every_key_is_in_the_schema() {
    let machine = "machine: {cores_per_numa: 2}\n";
    check_keys("", &format!("{machine}zzz: 1"));
    check_keys("/$defs/machine", "machine: {zzz: 1}");
    let policy = |text: &str| format!("{machine}policy: {text}");
    check_keys("/$defs/policy", &policy("{zzz: 1}"));
    for key in ["headroom", "memory", "burst"] {
        check_keys(
            &format!("/$defs/policy/properties/{key}"),
            &policy(&format!("{{{key}: {{zzz: 1}}}}")),
        );
    }
    let oversell = "/$defs/policy/properties/headroom/properties/cpu_oversell";
    check_keys(oversell, &policy("{headroom: {cpu_oversell: {zzz: 1}}}"));
    check_keys("/$defs/report", &policy("{headroom: {memory_report: {zzz: 1}}}"));
    let step = |text: &str| {
        let pod = "admit: {pod: {name: p, containers: [{name: c}]}}";
        format!("{machine}steps:\n- {pod}\n- {text}\n")
    };
    for kind in ["admit", "hints", "resize"] {
        check_keys(
            &format!("/$defs/step/properties/{kind}"),
            &step(&format!("{kind}: {{zzz: 1}}")),
        );
    }
    for kind in ["remove", "evict", "tick", "offline", "online"] {
        let place = format!("/$defs/step/properties/{kind}/anyOf/1");
        check_keys(&place, &step(&format!("{kind}: {{zzz: 1}}")));
    }
    check_keys("/$defs/sampled", &step("tick: {samples: {pods: {p: {zzz: 1}}}}"));
    check_keys("/$defs/samples", &step("tick: {samples: {zzz: 1}}"));
    check_keys("/$defs/node_memory", &step("tick: {samples: {memory: {0: {zzz: 1}}}}"));
}

/// What has no place of its own in the schema: amounts beside containers, steps and parts of the node.
#[test]
fn every_word_is_in_the_schema() {
    let documents = of_documents();
    let words = |place: &str, skip: &[&str]| {
        let found = documents.pointer(place).expect("a place").as_object().expect("a map");
        let mut found: Vec<String> = found.keys().cloned().collect();
        found.retain(|word| !skip.contains(&word.as_str()));
        found.sort();
        found
    };
    let start = "machine: {cores_per_numa: 2}\nsteps:\n- admit: {pod: {name: p, containers: [{name: c}]}}\n";
    let mut amounts = allowed(&format!("{start}- tick: {{usage: {{p: {{zzz: 1}}}}}}"));
    amounts.retain(|word| !["containers", "c"].contains(&word.as_str()));
    assert_eq!(words("/$defs/amounts/properties", &[]), amounts);
    assert_eq!(words("/$defs/step/properties", &[]), allowed(&format!("{start}- zzz: {{}}")));
    let show = documents.pointer("/$defs/step/properties/show/anyOf/0/enum").expect("names");
    let mut shown: Vec<&str> = each(show).filter_map(Json::as_str).collect();
    shown.sort_unstable();
    assert_eq!(shown, allowed(&format!("{start}- show: [zzz]")));
}
