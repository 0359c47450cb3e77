//! Flattening: the JSON objects of the three enhancement annotations become one map, and inner keys
//! that a pod does not set come from the cluster's defaults.

use std::collections::BTreeMap;

use super::EnhancementError;
use crate::annotation;
use crate::qos::{Keys, QosRules};

/// Inner keys and their values.
pub type Flat = BTreeMap<String, String>;

/// Characters of an annotation that an error repeats: enough to find it, not enough to flood a log.
const SHOWN: usize = 120;

/// One map of all inner keys of a pod.
pub fn flatten(annotations: &Keys, rules: &QosRules) -> Result<Flat, EnhancementError> {
    let mut flat = Flat::new();
    for key in annotation::ENHANCEMENTS {
        let Some(text) = annotations.get(key) else { continue };
        for (inner, value) in object(key, text)? {
            if let Some(other) = flat.get(&inner).filter(|other| **other != value) {
                let other = other.clone();
                return Err(EnhancementError::Contradiction { key: inner, value, other });
            }
            flat.insert(inner, value);
        }
    }
    for (inner, value) in &rules.enhancement_defaults {
        flat.entry(inner.clone()).or_insert_with(|| value.clone());
    }
    Ok(flat)
}

fn object(key: &str, text: &str) -> Result<Flat, EnhancementError> {
    let malformed = |why: String| {
        let value = text.chars().take(SHOWN).collect();
        EnhancementError::Malformed { key: key.to_owned(), value, why }
    };
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let serde_json::Value::Object(entries) = value else {
        return Err(malformed("the outermost value is not an object".to_owned()));
    };
    let mut flat = Flat::new();
    for (inner, value) in entries {
        let serde_json::Value::String(value) = value else {
            return Err(malformed(format!("{inner} is {value}, which must be in quotes")));
        };
        flat.insert(inner, value);
    }
    Ok(flat)
}
