//! One step of a document: what it is called, what it takes, what it answers.

use model::ledger::Resident;
use model::numa::MAX_NODES;
use model::qos::{PodUid, WorkloadName};
use model::{Nanos, NumaNodeId, NumaSet};
use serde_json::{Map, Value as Json, json};

use super::answer::{self, Line};
use super::desk::Desk;
use super::field::Field;
use super::measured;
use super::pod::{self, Named};
use super::value::Value;

const KINDS: &str = "admit, hints, remove, resize, tick, offline, online, evict, show";

/// A day per step.
const MAX_TICK_S: f64 = 86_400.0;

type Answer = Result<Json, String>;

/// Runs a step and gives its line.
pub(super) fn run(desk: &mut Desk, idx: usize, step: &Field<'_>) -> Line {
    match kind_of(step) {
        Err(error) => Line::refused(idx, "unknown", error),
        Ok((kind, body)) => Line::new(idx, kind, act(desk, kind, &body)),
    }
}

/// A step is its name, or a map with its name as the only key.
fn kind_of<'a>(step: &Field<'a>) -> Result<(&'a str, Field<'a>), String> {
    if let Value::Text(kind) = step.value() {
        return Ok((kind, Field::empty(kind)));
    }
    let mut entries = step.entries()?.into_iter();
    match (entries.next(), entries.next()) {
        (Some(entry), None) => Ok(entry),
        _ => Err(step.refuse(&format!("maps with one key of {KINDS}"))),
    }
}

fn act(desk: &mut Desk, kind: &str, body: &Field<'_>) -> Answer {
    match kind {
        "admit" => admit(desk, body),
        "hints" => hints(desk, body),
        "remove" => remove(desk, body),
        "resize" => resize(desk, body),
        "tick" => tick(desk, body),
        "offline" => set_online(desk, body, false),
        "online" => set_online(desk, body, true),
        "show" => show(desk, body),
        "evict" => evict(desk, body),
        _ => Err(format!("{kind:?} is no step; allowed are {KINDS}")),
    }
}

fn admit(desk: &mut Desk, body: &Field<'_>) -> Answer {
    body.check_keys(&["pod", "hint"])?;
    let ask = desk.ask(&pod::read(&body.required("pod")?)?)?;
    let given = body.get("hint")?.map(|field| hint(&field)).transpose()?;
    let uid = desk.admit(&ask, given)?;
    placed(desk, &uid)
}

/// Node ids, or a hint as `hints` answers it.
fn hint(field: &Field<'_>) -> Result<NumaSet, String> {
    let nodes = match field.value() {
        Value::Map(_) => {
            field.check_keys(&["numa", "preferred"])?;
            field.required("numa")?
        }
        _ => field.clone(),
    };
    let ids = nodes.ids(u64::from(MAX_NODES) - 1)?;
    Ok(ids.into_iter().map(NumaNodeId).collect())
}

fn resize(desk: &mut Desk, body: &Field<'_>) -> Answer {
    body.check_keys(&["pod"])?;
    let ask = desk.ask(&pod::read(&body.required("pod")?)?)?;
    let uid = desk.resize(&ask)?;
    placed(desk, &uid)
}

fn placed(desk: &Desk, uid: &PodUid) -> Answer {
    let placed = desk.placement(uid).ok_or_else(|| format!("the pod {uid} is not here"))?;
    Ok(answer::admitted(&desk.input(), placed.0, &placed.1))
}

fn hints(desk: &Desk, body: &Field<'_>) -> Answer {
    body.check_keys(&["pod"])?;
    let ask = desk.ask(&pod::read(&body.required("pod")?)?)?;
    answer::hints(&desk.hints(&ask))
}

fn remove(desk: &mut Desk, body: &Field<'_>) -> Answer {
    let uid = which(desk, body, &["pod"])?;
    let removed = desk.remove(&uid)?;
    Ok(json!({ "removed": removed.ask.name.as_str() }))
}

fn evict(desk: &mut Desk, body: &Field<'_>) -> Answer {
    let uid = which(desk, body, &["pod", "reason"])?;
    let reason = match body.value() {
        Value::Map(_) => body.get("reason")?.map(|field| field.text()).transpose()?,
        _ => None,
    };
    let reason = reason.unwrap_or_else(|| "no reason was given".to_owned());
    let evicted = desk.evict(&uid, &reason)?;
    Ok(json!({
        "evicted": evicted.ask.name.as_str(),
        "uid": evicted.ask.uid.as_str(),
        "reason": reason,
    }))
}

/// The pod that a step is about: an object or text below `pod`, or the text itself.
fn which(desk: &Desk, body: &Field<'_>, keys: &[&str]) -> Result<PodUid, String> {
    if !matches!(body.value(), Value::Map(_) | Value::Null) {
        return Ok(known_text(desk, &body.text()?));
    }
    body.check_keys(keys)?;
    let field = body.required("pod")?;
    match field.value() {
        Value::Map(_) => Ok(known(desk, &Named::read(&field)?)),
        _ => Ok(known_text(desk, &field.text()?)),
    }
}

/// By uid, `namespace/name` or name; a name alone is of `default` first, then of whatever namespace
/// has the only pod of that name.
pub(super) fn known_text(desk: &Desk, text: &str) -> PodUid {
    let full = if text.contains('/') { text.to_owned() } else { format!("default/{text}") };
    let uid = known(desk, &Named { uid: PodUid::new(text), name: WorkloadName::new(full) });
    if desk.ledger.pods.contains_key(&uid) || text.contains('/') {
        return uid;
    }
    let has_name = |one: &&Resident| one.ask.name.as_str().rsplit('/').next() == Some(text);
    let mut of_name = desk.ledger.pods.values().filter(has_name);
    match (of_name.next(), of_name.next()) {
        (Some(only), None) => only.ask.uid.clone(),
        _ => uid,
    }
}

/// By uid, else by name.
fn known(desk: &Desk, named: &Named) -> PodUid {
    if desk.ledger.pods.contains_key(&named.uid) {
        return named.uid.clone();
    }
    let same_name = desk.ledger.pods.iter().find(|(_, one)| one.ask.name == named.name);
    same_name.map_or_else(|| named.uid.clone(), |(uid, _)| uid.clone())
}

/// Seconds may stand alone.
fn tick(desk: &mut Desk, body: &Field<'_>) -> Answer {
    let (seconds, measured) = match body.value() {
        Value::Map(_) | Value::Null => {
            body.check_keys(&["seconds", "usage", "samples"])?;
            (body.get("seconds")?, measured::read(desk, body)?)
        }
        _ => (Some(body.clone()), None),
    };
    let seconds = seconds.map_or(Ok(1.0), |field| field.number(0.0..=MAX_TICK_S))?;
    let ended = desk.pass(Nanos((seconds * 1e9).round() as u64), measured);
    Ok(json!({ "now_ms": desk.now.0 / 1_000_000, "ramp_up_ended": ended }))
}

/// CPUs may stand alone.
fn set_online(desk: &mut Desk, body: &Field<'_>, online: bool) -> Answer {
    let field = match body.value() {
        Value::Map(_) | Value::Null => {
            body.check_keys(&["cpus"])?;
            body.required("cpus")?
        }
        _ => body.clone(),
    };
    desk.set_online(&field.cpus()?, online).map_err(|error| field.wrong(&error))?;
    Ok(json!({ "online": desk.online().to_string() }))
}

fn show(desk: &Desk, body: &Field<'_>) -> Answer {
    let wanted = match body.value() {
        Value::List(_) => body.items()?.iter().map(Field::text).collect::<Result<Vec<_>, _>>()?,
        Value::Null => ["pools", "pods", "decisions"].map(str::to_owned).to_vec(),
        _ => vec![body.text()?],
    };
    let (tally, pools) = desk.pools();
    let input = desk.input();
    let mut shown = Map::new();
    for name in wanted {
        let part = match name.as_str() {
            "pools" => answer::pools(&input, &pools),
            "pods" => answer::pods(&input, &tally, &pools),
            "decisions" => answer::decisions(desk.decisions()),
            "quota" => answer::quota(desk.quota()),
            "zones" => desk.zones(),
            _ => desk.advised(&name, &tally, &pools).ok_or_else(|| {
                let allowed = "pools, pods, quota, headroom, memory, bursts, zones, decisions";
                body.wrong(&format!("{name:?} is not allowed; allowed are {allowed}"))
            })?,
        };
        shown.insert(name, part);
    }
    Ok(Json::Object(shown))
}
