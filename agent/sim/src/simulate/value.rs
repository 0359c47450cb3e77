//! A YAML value without a type, as it stands in the document: numbers keep their text, duplicate
//! keys and what is not finite are seen by the reader of the field, with its name.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    /// In the order of the document.
    Map(Vec<(String, Value)>),
}

/// Keys, values, lists and maps of a document: a hundred thousand steps.
const MAX_NODES: usize = 1_000_000;
/// Those that aliases repeat: thousands of pods. A document that explodes is refused within a second.
const MAX_ALIASED: usize = 250_000;

impl Value {
    pub(super) fn parse(text: &str) -> Result<Value, String> {
        if text.trim().is_empty() {
            return Err("the document is empty; it has machine, policy and steps".to_owned());
        }
        // What is not finite is refused by the field it stands in, with its name.
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_nodes: MAX_NODES,
                max_events: 2 * MAX_NODES,
                max_recorded_anchor_events: MAX_ALIASED,
            },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ALIASED },
            non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::PassThrough,
        };
        let read: Result<Value, _> = serde_saphyr::from_str_with_options(text, options);
        read.map_err(|error| {
            let told = error.render_with_formatter(&serde_saphyr::UserMessageFormatter);
            format!("not one document of YAML: {}", first_line(&told))
        })
    }

    /// As it would be written in a message.
    pub(super) fn show(&self) -> String {
        match self {
            Value::Null => "nothing".to_owned(),
            Value::Bool(on) => on.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Text(text) => format!("{:?}", text.chars().take(120).collect::<String>()),
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Map(entries) => format!("a map of {}", entries.len()),
        }
    }
}

/// Parsers draw the place in further lines.
fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Value, D::Error> {
        from.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<Value, E> {
        Ok(Value::Bool(on))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Int(number.into()))
    }

    fn visit_i128<E: Error>(self, number: i128) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u128<E: Error>(self, number: u128) -> Result<Value, E> {
        // What does not fit is too large for every field as well.
        Ok(i128::try_from(number).map_or(Value::Float(number as f64), Value::Int))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        Value::deserialize(from)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<Value, Value>()? {
            let key = match key {
                Value::Text(text) => text,
                Value::Int(number) => number.to_string(),
                Value::Bool(on) => on.to_string(),
                other => return Err(A::Error::custom(format!("{} is no key", other.show()))),
            };
            entries.push((key, value));
        }
        Ok(Value::Map(entries))
    }
}
