//! Every key once more, with what a person needs to know of it: where it stands, which values it takes,
//! what follows on a node. Source of the tables of `docs/katalyst.md`; the tests hold it to the readers.
//! Reads nothing itself.

mod enhancements;
mod nodes;
mod pods;

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub key: &'static str,
    pub place: Place,
    pub state: State,
    /// What is allowed, in words.
    pub values: &'static str,
    /// What follows from it.
    pub meaning: &'static str,
    /// Where Katalyst does something else; empty where it does the same.
    pub katalyst: &'static str,
    /// An example that is accepted.
    pub good: &'static str,
    /// One that is refused; `None` where any text will do.
    pub bad: Option<&'static str>,
}

/// Where a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    PodAnnotation,
    PodLabel,
    /// In the JSON object of this annotation.
    Inside(&'static str),
    /// A resource name in the requests of a container.
    Request,
    NodeAnnotation,
    NodeLabel,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A node acts on it.
    Done,
    /// A node checks it; only `berth-agent simulate` acts on it.
    Simulated,
    /// A node checks it, and nothing follows.
    Unused,
    /// It can be read, and no program of Berth asks for it.
    NotAsked,
}

/// Rows that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    pub title: &'static str,
    pub rows: &'static [Row],
}

/// All keys.
pub const TABLE: [Section; 6] = [
    Section { title: "Levels and enhancements", rows: &pods::LEVELS },
    Section { title: "Inside of the enhancements", rows: &enhancements::ROWS },
    Section { title: "Other annotations and labels of pods", rows: &pods::OTHERS },
    Section { title: "Keys of Kubernetes and of RDT", rows: &pods::FOREIGN },
    Section { title: "Resource names", rows: &pods::RESOURCES },
    Section { title: "Annotations and a label of nodes", rows: &nodes::ROWS },
];

/// Whether a key means something to a node, wherever it stands.
pub fn knows(key: &str) -> bool {
    TABLE.iter().flat_map(|section| section.rows).any(|row| row.key == key)
}

impl State {
    /// For the column of a table.
    pub const fn name(self) -> &'static str {
        match self {
            State::Done => "done",
            State::Simulated => "`simulate` only",
            State::Unused => "checked, unused",
            State::NotAsked => "not asked for",
        }
    }
}

impl Row {
    const fn new(
        key: &'static str,
        place: Place,
        state: State,
        good: &'static str,
        bad: Option<&'static str>,
    ) -> Row {
        Row { key, place, state, values: "", meaning: "", katalyst: "", good, bad }
    }

    const fn values(self, values: &'static str) -> Row {
        Row { values, ..self }
    }

    const fn means(self, meaning: &'static str) -> Row {
        Row { meaning, ..self }
    }

    const fn katalyst(self, katalyst: &'static str) -> Row {
        Row { katalyst, ..self }
    }
}

#[cfg(test)]
mod tests;
