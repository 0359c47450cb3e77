//! `berth-agent simulate`: a machine, a policy and steps as YAML; one JSON object per step. A
//! function from text to text: the same input gives the same bytes. The form is documented in
//! `agent/sim/README.md`.

mod advice;
mod advise;
mod amounts;
mod answer;
mod desk;
mod field;
mod machine;
mod measured;
mod pod;
mod policy;
mod provision;
mod step;
mod value;
mod zones;

use model::Topology;

use answer::Line;
use desk::Desk;
use field::Field;
use value::Value;

/// Reads the topology below a recorded tree; the caller does the I/O.
pub type ReadTree<'a> = dyn Fn(&str) -> Result<Topology, String> + 'a;

/// What a document gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// One line of JSON per step.
    pub lines: String,
    /// The document itself was refused; its one line says why.
    pub is_refused: bool,
}

/// Steps of one document: far over any scenario, and a bound on one call.
const MAX_STEPS: usize = 100_000;

/// Runs a document.
pub fn simulate(text: &str, read_tree: &ReadTree<'_>) -> Transcript {
    match run(text, read_tree) {
        Ok(lines) => Transcript { lines, is_refused: false },
        Err(error) => {
            let line = Line::refused(0, "setup", error);
            Transcript { lines: line.text(), is_refused: true }
        }
    }
}

fn run(text: &str, read_tree: &ReadTree<'_>) -> Result<String, String> {
    let document = Value::parse(text)?;
    let root = Field::root(&document);
    root.check_keys(&["machine", "policy", "steps"])?;
    let machine = root.required("machine")?;
    let topology = machine::read(&machine, read_tree)?;
    let policy = root.get("policy")?.unwrap_or_else(|| Field::empty("policy"));
    let rules = (advice::read(&policy)?, provision::read(&policy)?);
    let placement = policy::read(&policy, &machine::known(&topology))?;
    let mut desk = Desk::new(topology, placement, rules)?;
    let steps = match root.get("steps")? {
        Some(steps) => steps.items()?,
        None => Vec::new(),
    };
    if steps.len() > MAX_STEPS {
        return Err(format!("steps: {} are more than {MAX_STEPS}", steps.len()));
    }
    let lines = steps.iter().enumerate().map(|(idx, step)| step::run(&mut desk, idx + 1, step));
    Ok(lines.map(|line| line.text()).collect())
}
