//! One row of a result file.

use serde_json::{Map, Value, json};

use super::figure::shown;

/// A named measurement, with its bar where it has one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Figures by key; the unit is in the key (`median_ns`, `p99_ms`, `events`).
    pub(crate) figures: Vec<(String, f64)>,
    pub(crate) bar: Option<Bar>,
}

/// `ratio` must not be above (`Max`) or below (`Min`) `bar`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bar {
    pub(crate) ratio: f64,
    pub(crate) bar: f64,
    pub(crate) sense: Sense,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sense {
    Min,
    Max,
}

impl Bar {
    /// A measurement that must stay within a limit, as a share of it.
    pub(crate) fn within(measured: f64, limit: f64) -> Bar {
        Bar { ratio: measured / limit, bar: 1.0, sense: Sense::Max }
    }

    /// A count that must reach a number, as a share of it.
    pub(crate) fn reaches(measured: f64, wanted: f64) -> Bar {
        Bar { ratio: measured / wanted, bar: 1.0, sense: Sense::Min }
    }

    pub(crate) fn is_met(self) -> bool {
        match self.sense {
            Sense::Max => self.ratio <= self.bar,
            Sense::Min => self.ratio >= self.bar,
        }
    }
}

impl Row {
    pub(crate) fn new(name: &str, figures: &[(&str, f64)], bar: Option<Bar>) -> Row {
        let figures = figures.iter().map(|&(key, value)| (key.to_owned(), value)).collect();
        Row { name: name.to_owned(), figures, bar }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut row = Map::new();
        row.insert("name".to_owned(), json!(self.name));
        row.extend(self.figures.iter().map(|(key, value)| (key.clone(), json!(value))));
        if let Some(bar) = self.bar {
            let sense = match bar.sense {
                Sense::Min => "min",
                Sense::Max => "max",
            };
            row.insert("ratio".to_owned(), json!(bar.ratio));
            row.insert("bar".to_owned(), json!(bar.bar));
            row.insert("sense".to_owned(), json!(sense));
        }
        Value::Object(row)
    }
}

/// The rows as a table, heading first.
pub(crate) fn table(rows: &[Row]) -> Vec<Vec<String>> {
    let heading = ["row", "figures", "of its bar", "ok"].map(str::to_owned).to_vec();
    let line = |row: &Row| {
        let figures = row.figures.iter().map(|(key, value)| shown(key, *value));
        vec![
            row.name.clone(),
            figures.collect::<Vec<_>>().join(", "),
            row.bar.map_or_else(|| "-".to_owned(), |bar| format!("{:.0} %", bar.ratio * 100.0)),
            row.bar.map_or("", |bar| if bar.is_met() { "yes" } else { "NO" }).to_owned(),
        ]
    };
    std::iter::once(heading).chain(rows.iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_from_its_own_side() {
        assert!(Bar::within(99.0, 100.0).is_met());
        assert!(!Bar::within(101.0, 100.0).is_met());
        assert!(Bar::reaches(200.0, 200.0).is_met());
        assert!(!Bar::reaches(199.0, 200.0).is_met());
    }

    #[test]
    fn a_row_without_a_bar_has_no_bar_keys() {
        let with = Row::new("a", &[("p99_ms", 50.0)], Some(Bar::within(50.0, 100.0))).to_json();
        assert_eq!(with, json!({"name":"a","p99_ms":50.0,"ratio":0.5,"bar":1.0,"sense":"max"}));
        let without = Row::new("a", &[("events", 3.0)], None).to_json();
        assert_eq!(without, json!({"name":"a","events":3.0}));
    }
}
