//! From annotations and labels to a QoS level: a selector map per level (Katalyst's
//! pkg/config/generic/qos.go), so that annotations of older systems keep working, and Koordinator's
//! label as an alias.

use std::collections::{BTreeMap, BTreeSet};

use super::QosLevel;
use crate::annotation::{self, inner};

/// Annotations or labels of a pod.
pub type Keys = BTreeMap<String, String>;

/// How a cluster spells levels and what it sets by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QosRules {
    /// Per level: annotations whose value means this level. `qos_level` itself need not be listed.
    pub selectors: BTreeMap<QosLevel, Keys>,
    /// Inner keys of enhancements and their values, for pods that do not say.
    pub enhancement_defaults: Keys,
    /// Inner keys that give the number and the ids of NUMA nodes.
    pub numa_number_key: String,
    pub numa_ids_key: String,
}

impl Default for QosRules {
    fn default() -> Self {
        QosRules {
            selectors: BTreeMap::new(),
            enhancement_defaults: Keys::new(),
            numa_number_key: inner::NUMA_NUMBER.to_owned(),
            numa_ids_key: inner::NUMA_IDS.to_owned(),
        }
    }
}

/// Why a pod has no QoS level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LevelError {
    #[error("{key}: {value:?} is no QoS level; allowed are {allowed}")]
    Unknown { key: String, value: String, allowed: String },
    #[error("{key}: {value:?} says {level}, which {other_key}: {other_value:?} contradicts")]
    Conflict { key: String, value: String, level: QosLevel, other_key: String, other_value: String },
}

/// What one key of a pod says about its level.
struct Witness<'a> {
    key: &'a str,
    value: &'a str,
    levels: BTreeSet<QosLevel>,
}

impl QosRules {
    /// The level all keys agree on; `shared_cores` when no key says anything.
    pub fn level(&self, annotations: &Keys, labels: &Keys) -> Result<QosLevel, LevelError> {
        let mut said: Option<Witness<'_>> = None;
        for witness in self.witnesses(annotations, labels)? {
            said = Some(match said {
                None => witness,
                Some(before) => agree(before, witness)?,
            });
        }
        let level = said.and_then(|said| said.levels.first().copied());
        Ok(level.unwrap_or(QosLevel::SharedCores))
    }

    fn witnesses<'a>(
        &'a self,
        annotations: &'a Keys,
        labels: &'a Keys,
    ) -> Result<Vec<Witness<'a>>, LevelError> {
        let legacy = self.selectors.values().flat_map(Keys::keys).map(String::as_str);
        let keys: BTreeSet<&str> = legacy.chain([annotation::QOS_LEVEL]).collect();
        let mut found = Vec::new();
        for key in keys {
            let Some(value) = annotations.get(key) else { continue };
            let meanings = self.meanings(key);
            let levels = meanings.iter().filter(|(text, _)| text == value).map(|(_, level)| *level);
            found.push(witness(key, value, levels.collect(), &meanings)?);
        }
        if let Some(value) = labels.get(annotation::KOORDINATOR_QOS) {
            let meanings: Vec<(String, QosLevel)> =
                KOORDINATOR.iter().map(|(text, level)| ((*text).to_owned(), *level)).collect();
            let levels = meanings.iter().filter(|(text, _)| text == value).map(|(_, level)| *level);
            found.push(witness(annotation::KOORDINATOR_QOS, value, levels.collect(), &meanings)?);
        }
        Ok(found)
    }

    /// The values of one annotation that mean a level.
    fn meanings(&self, key: &str) -> Vec<(String, QosLevel)> {
        let own = QosLevel::ALL.into_iter().filter(|_| key == annotation::QOS_LEVEL);
        let mut meanings: Vec<(String, QosLevel)> =
            own.map(|level| (level.name().to_owned(), level)).collect();
        for (level, selector) in &self.selectors {
            meanings.extend(selector.get(key).map(|value| (value.clone(), *level)));
        }
        meanings
    }
}

/// LSE and LSR both hold CPUs of their own; LSR lends idle ones to BE, as our overlap mode does.
pub const KOORDINATOR: [(&str, QosLevel); 5] = [
    ("LSE", QosLevel::DedicatedCores),
    ("LSR", QosLevel::DedicatedCores),
    ("LS", QosLevel::SharedCores),
    ("BE", QosLevel::ReclaimedCores),
    ("SYSTEM", QosLevel::SystemCores),
];

fn witness<'a>(
    key: &'a str,
    value: &'a str,
    levels: BTreeSet<QosLevel>,
    meanings: &[(String, QosLevel)],
) -> Result<Witness<'a>, LevelError> {
    if levels.is_empty() {
        let allowed: Vec<&str> = meanings.iter().map(|(text, _)| text.as_str()).collect();
        return Err(LevelError::Unknown {
            key: key.to_owned(),
            value: value.to_owned(),
            allowed: allowed.join(", "),
        });
    }
    Ok(Witness { key, value, levels })
}

/// Both witnesses as one, if there is a level that both can mean.
fn agree<'a>(before: Witness<'a>, now: Witness<'a>) -> Result<Witness<'a>, LevelError> {
    let levels: BTreeSet<QosLevel> = before.levels.intersection(&now.levels).copied().collect();
    match (levels.is_empty(), before.levels.first()) {
        (true, Some(level)) => Err(LevelError::Conflict {
            key: before.key.to_owned(),
            value: before.value.to_owned(),
            level: *level,
            other_key: now.key.to_owned(),
            other_value: now.value.to_owned(),
        }),
        _ => Ok(Witness { levels, ..before }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(rows: &[(&str, &str)]) -> Keys {
        rows.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn legacy() -> QosRules {
        let batch = keys(&[("acme.io/tier", "batch")]);
        let web = keys(&[("acme.io/tier", "online")]);
        let selectors =
            BTreeMap::from([(QosLevel::ReclaimedCores, batch), (QosLevel::SharedCores, web)]);
        QosRules { selectors, ..QosRules::default() }
    }

    #[track_caller]
    fn check(annotations: &[(&str, &str)], labels: &[(&str, &str)], expect: &str) {
        let said = match legacy().level(&keys(annotations), &keys(labels)) {
            Ok(level) => level.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(said, expect);
    }

    #[test]
    fn every_spelling_of_a_level() {
        check(&[], &[], "shared_cores");
        check(&[(annotation::QOS_LEVEL, "dedicated_cores")], &[], "dedicated_cores");
        check(&[("acme.io/tier", "batch")], &[], "reclaimed_cores");
        check(
            &[("acme.io/tier", "batch"), (annotation::QOS_LEVEL, "reclaimed_cores")],
            &[],
            "reclaimed_cores",
        );
        for (class, level) in [("LSE", "dedicated"), ("LSR", "dedicated"), ("LS", "shared")] {
            check(&[], &[(annotation::KOORDINATOR_QOS, class)], &format!("{level}_cores"));
        }
        check(&[], &[(annotation::KOORDINATOR_QOS, "BE")], "reclaimed_cores");
        check(&[], &[(annotation::KOORDINATOR_QOS, "SYSTEM")], "system_cores");
    }

    #[test]
    fn unknown_values_and_contradictions_are_told() {
        check(
            &[(annotation::QOS_LEVEL, "foo")],
            &[],
            "katalyst.kubewharf.io/qos_level: \"foo\" is no QoS level; allowed are \
             dedicated_cores, shared_cores, reclaimed_cores, system_cores",
        );
        check(
            &[("acme.io/tier", "gold")],
            &[],
            "acme.io/tier: \"gold\" is no QoS level; allowed are online, batch",
        );
        check(
            &[],
            &[(annotation::KOORDINATOR_QOS, "be")],
            "koordinator.sh/qosClass: \"be\" is no QoS level; allowed are LSE, LSR, LS, BE, SYSTEM",
        );
        check(
            &[("acme.io/tier", "batch"), (annotation::QOS_LEVEL, "shared_cores")],
            &[],
            "acme.io/tier: \"batch\" says reclaimed_cores, which \
             katalyst.kubewharf.io/qos_level: \"shared_cores\" contradicts",
        );
        check(
            &[(annotation::QOS_LEVEL, "shared_cores")],
            &[(annotation::KOORDINATOR_QOS, "BE")],
            "katalyst.kubewharf.io/qos_level: \"shared_cores\" says shared_cores, which \
             koordinator.sh/qosClass: \"BE\" contradicts",
        );
    }
}
