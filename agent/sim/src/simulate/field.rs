//! A value and where it stands, so that every refusal names key and value.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use model::CpuSet;

use super::value::Value;

/// One place of a document.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    path: String,
    value: &'a Value,
}

static NULL: Value = Value::Null;

impl<'a> Field<'a> {
    pub(super) fn root(value: &'a Value) -> Field<'a> {
        Field { path: String::new(), value }
    }

    /// A map with nothing in it.
    pub(super) fn empty(path: &str) -> Field<'static> {
        Field { path: path.to_owned(), value: &NULL }
    }

    pub(super) fn value(&self) -> &'a Value {
        self.value
    }

    /// A refusal of this value.
    pub(super) fn refuse(&self, allowed: &str) -> String {
        let path = if self.path.is_empty() { "the document" } else { &self.path };
        format!("{path}: {} is not allowed; allowed are {allowed}", self.value.show())
    }

    /// A refusal in somebody else's words.
    pub(super) fn wrong(&self, why: &impl ToString) -> String {
        format!("{}: {}", self.path, why.to_string())
    }

    fn below(&self, key: &str, value: &'a Value) -> Field<'a> {
        let path = match self.path.is_empty() {
            true => key.to_owned(),
            false => format!("{}.{key}", self.path),
        };
        Field { path, value }
    }

    /// Keys and values of a map; nothing at all is an empty one.
    pub(super) fn entries(&self) -> Result<Vec<(&'a str, Field<'a>)>, String> {
        match self.value {
            Value::Null => Ok(Vec::new()),
            Value::Map(entries) => {
                let field =
                    |(key, value): &'a (String, Value)| (key.as_str(), self.below(key, value));
                Ok(entries.iter().map(field).collect())
            }
            _ => Err(self.refuse("maps")),
        }
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Field<'a>>, String> {
        let found = self.entries()?.into_iter().filter(|(name, _)| *name == key);
        let mut found = found.map(|(_, field)| field);
        let first = found.next();
        match found.next() {
            Some(_) => Err(format!("{}: given twice", self.below(key, &NULL).path)),
            None => Ok(first.filter(|field| *field.value != Value::Null)),
        }
    }

    /// One value under any of its names.
    pub(super) fn one_of(&self, keys: &[&str]) -> Result<Option<Field<'a>>, String> {
        let mut found: Option<Field<'a>> = None;
        for key in keys {
            match (self.get(key)?, &found) {
                (Some(again), Some(first)) => {
                    return Err(again.wrong(&format!("{} says the same already", first.path)));
                }
                (Some(field), None) => found = Some(field),
                (None, _) => {}
            }
        }
        Ok(found)
    }

    pub(super) fn required(&self, key: &str) -> Result<Field<'a>, String> {
        let missing = || format!("{}: missing", self.below(key, &NULL).path);
        self.get(key)?.ok_or_else(missing)
    }

    pub(super) fn check_keys(&self, allowed: &[&str]) -> Result<(), String> {
        for (key, field) in self.entries()? {
            if !allowed.contains(&key) {
                return Err(format!(
                    "{}: no such key (value {}); allowed are {}",
                    field.path,
                    field.value.show(),
                    allowed.join(", ")
                ));
            }
        }
        Ok(())
    }

    pub(super) fn items(&self) -> Result<Vec<Field<'a>>, String> {
        match self.value {
            Value::Null => Ok(Vec::new()),
            Value::List(items) => {
                let field = |(idx, value): (usize, &'a Value)| Field {
                    path: format!("{}[{idx}]", self.path),
                    value,
                };
                Ok(items.iter().enumerate().map(field).collect())
            }
            _ => Err(self.refuse("lists")),
        }
    }

    /// Text; numbers and booleans count as the text they are written with.
    pub(super) fn text(&self) -> Result<String, String> {
        match self.value {
            Value::Text(text) => Ok(text.clone()),
            Value::Bool(_) | Value::Int(_) => Ok(self.value.show()),
            Value::Float(number) if number.is_finite() => Ok(self.value.show()),
            _ => Err(self.refuse("texts")),
        }
    }

    pub(super) fn flag(&self) -> Result<bool, String> {
        match self.value {
            Value::Bool(on) => Ok(*on),
            Value::Text(text) if text == "true" => Ok(true),
            Value::Text(text) if text == "false" => Ok(false),
            _ => Err(self.refuse("true and false")),
        }
    }

    pub(super) fn int(&self, range: RangeInclusive<u64>) -> Result<u64, String> {
        let number = match self.value {
            Value::Int(number) => Some(*number),
            // A whole number with a point; the range is below what a float can count.
            Value::Float(number) if number.fract() == 0.0 => Some(*number as i128),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        let number = number.and_then(|number| u64::try_from(number).ok());
        let refused = || self.refuse(&format!("whole numbers {}..={}", range.start(), range.end()));
        number.filter(|number| range.contains(number)).ok_or_else(refused)
    }

    pub(super) fn number(&self, range: RangeInclusive<f64>) -> Result<f64, String> {
        let number = match self.value {
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        };
        let refused = || self.refuse(&format!("numbers {}..={}", range.start(), range.end()));
        number.filter(|number| range.contains(number)).ok_or_else(refused)
    }

    /// A CPU list, one CPU as a number, or several of them.
    pub(super) fn cpus(&self) -> Result<CpuSet, String> {
        if let Value::List(_) = self.value {
            let parts = self.items()?;
            return parts.iter().try_fold(CpuSet::EMPTY, |all, one| Ok(all.union(&one.cpus()?)));
        }
        self.text()?.parse().map_err(|error| self.wrong(&error))
    }

    /// CPUs that are among those of a machine.
    pub(super) fn cpus_of(&self, machine: &CpuSet) -> Result<CpuSet, String> {
        let cpus = self.cpus()?;
        let strange = cpus.difference(machine);
        match strange.is_empty() {
            true => Ok(cpus),
            false => Err(self
                .wrong(&format!("CPUs {strange} are not on this machine; allowed are {machine}"))),
        }
    }

    /// A list of numbers, or the kernel's list format.
    pub(super) fn ids(&self, most: u64) -> Result<Vec<u16>, String> {
        let Value::List(_) = self.value else {
            let list = self.cpus()?;
            let within = list.iter().all(|id| u64::from(id.0) <= most);
            let ids = list.iter().map(|id| id.0).collect();
            return if within { Ok(ids) } else { Err(self.refuse(&format!("ids 0..={most}"))) };
        };
        let id = |item: &Field<'_>| item.int(0..=most).map(|id| u16::try_from(id).unwrap_or(0));
        self.items()?.iter().map(id).collect()
    }

    /// A map of texts; a key with nothing in it is not given.
    pub(super) fn texts(&self) -> Result<BTreeMap<String, String>, String> {
        let mut texts = BTreeMap::new();
        for (key, field) in self.entries()? {
            if *field.value == Value::Null {
                continue;
            }
            if texts.insert(key.to_owned(), field.text()?).is_some() {
                return Err(format!("{}: given twice", field.path));
            }
        }
        Ok(texts)
    }
}
