//! The difference of two JSON values, and the value from a difference. What a reading of one second
//! and the next have in common is nearly everything, and counters differ by small numbers.
//!
//! A difference is, by the kind of the old value: a number to add to a whole number (wrapping at 64
//! bits), `[value]` for a new value, `null` for a key that is gone, else an object of differences by
//! key or index. A new key of an object has `[value]`.

use serde_json::{Map, Value};

/// Why a difference does not fit the value before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DeltaError {
    #[error("a number is added to something that is none")]
    NotANumber,
    #[error("parts are changed of something that has none")]
    NoParts,
    #[error("a part is changed or removed that is not there")]
    NoSuchPart,
    #[error("it is neither a number, a value nor parts")]
    NoForm,
}

/// `None` when they are the same.
pub(super) fn between(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    match (old, new) {
        (Value::Number(a), Value::Number(b)) => match (a.as_u64(), b.as_u64()) {
            (Some(a), Some(b)) => Some(Value::from(b.wrapping_sub(a) as i64)),
            _ => Some(whole(new)),
        },
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            let parts = a.iter().zip(b).enumerate();
            let parts = parts.filter_map(|(idx, (a, b))| Some((idx.to_string(), between(a, b)?)));
            Some(Value::Object(parts.collect()))
        }
        (Value::Object(a), Value::Object(b)) => Some(Value::Object(parts(a, b))),
        _ => Some(whole(new)),
    }
}

fn whole(value: &Value) -> Value {
    Value::Array(vec![value.clone()])
}

fn parts(old: &Map<String, Value>, new: &Map<String, Value>) -> Map<String, Value> {
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    let gone = gone.map(|key| (key.clone(), Value::Null));
    let changed = new.iter().filter_map(|(key, value)| {
        let part = match old.get(key) {
            Some(before) => between(before, value)?,
            None => whole(value),
        };
        Some((key.clone(), part))
    });
    gone.chain(changed).collect()
}

/// Changes `value` by a difference. After an error it is of no use any more.
pub(super) fn apply(value: &mut Value, delta: Value) -> Result<(), DeltaError> {
    match delta {
        Value::Number(added) => {
            let added = added.as_i64().ok_or(DeltaError::NotANumber)?;
            let before = value.as_u64().ok_or(DeltaError::NotANumber)?;
            *value = Value::from(before.wrapping_add(added as u64));
            Ok(())
        }
        Value::Array(mut new) if new.len() == 1 => {
            *value = new.swap_remove(0);
            Ok(())
        }
        Value::Object(parts) => {
            parts.into_iter().try_for_each(|(key, part)| apply_part(value, key, part))
        }
        _ => Err(DeltaError::NoForm),
    }
}

fn apply_part(value: &mut Value, key: String, part: Value) -> Result<(), DeltaError> {
    match value {
        Value::Array(items) => {
            let idx = key.parse::<usize>().ok().ok_or(DeltaError::NoSuchPart)?;
            apply(items.get_mut(idx).ok_or(DeltaError::NoSuchPart)?, part)
        }
        Value::Object(fields) if part.is_null() => {
            fields.remove(&key).map(drop).ok_or(DeltaError::NoSuchPart)
        }
        Value::Object(fields) => match (fields.get_mut(&key), part) {
            (Some(field), part) => apply(field, part),
            (None, Value::Array(mut new)) if new.len() == 1 => {
                fields.insert(key, new.swap_remove(0));
                Ok(())
            }
            (None, _) => Err(DeltaError::NoSuchPart),
        },
        _ => Err(DeltaError::NoParts),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(old: Value, new: Value, expect: Option<Value>) {
        let delta = between(&old, &new);
        assert_eq!(delta, expect, "{old} -> {new}");
        let mut changed = old;
        if let Some(delta) = delta {
            apply(&mut changed, delta).expect("fits");
        }
        assert_eq!(changed, new);
    }

    #[test]
    fn differences() {
        check(json!(7), json!(7), None);
        check(json!(7), json!(9), Some(json!(2)));
        check(json!(9), json!(7), Some(json!(-2)));
        check(json!(0), json!(u64::MAX), Some(json!(-1)));
        check(json!(u64::MAX), json!(0), Some(json!(1)));
        check(json!(1.5), json!(2.5), Some(json!([2.5])));
        check(json!(1), json!(null), Some(json!([null])));
        check(json!(null), json!({"a": 1}), Some(json!([{"a": 1}])));
        check(json!([1, 2, 3]), json!([1, 5, 3]), Some(json!({"1": 3})));
        check(json!([1]), json!([1, 2]), Some(json!([[1, 2]])));
        check(
            json!({"a": 1, "b": 2}),
            json!({"a": 2, "c": 3}),
            Some(json!({"a": 1, "b": null, "c": [3]})),
        );
        check(json!({"a": null}), json!({}), Some(json!({"a": null})));
        check(json!({"a": 1}), json!({"a": null}), Some(json!({"a": [null]})));
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let rows = [
            (json!("x"), json!(1), DeltaError::NotANumber),
            (json!(1), json!(1.5), DeltaError::NotANumber),
            (json!(1), json!({"a": 1}), DeltaError::NoParts),
            (json!({}), json!({"a": 1}), DeltaError::NoSuchPart),
            (json!({}), json!({"a": null}), DeltaError::NoSuchPart),
            (json!([1]), json!({"1": 1}), DeltaError::NoSuchPart),
            (json!([1]), json!({"x": 1}), DeltaError::NoSuchPart),
            (json!(1), json!([1, 2]), DeltaError::NoForm),
            (json!(1), json!("x"), DeltaError::NoForm),
            (json!(1), json!(null), DeltaError::NoForm),
        ];
        for (mut value, delta, expect) in rows {
            assert_eq!(apply(&mut value, delta.clone()), Err(expect), "{delta}");
        }
    }

    fn arb_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e9..1e9f64).prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-c0-1]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_difference_leads_to_the_new_value(old in arb_json(), new in arb_json()) {
            let mut changed = old.clone();
            match between(&old, &new) {
                Some(delta) => prop_assert_eq!(apply(&mut changed, delta), Ok(())),
                None => prop_assert_eq!(&old, &new),
            }
            prop_assert_eq!(changed, new);
        }

        #[test]
        fn a_foreign_difference_never_panics(mut value in arb_json(), delta in arb_json()) {
            let _ = apply(&mut value, delta);
        }
    }
}
