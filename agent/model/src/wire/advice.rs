//! Wire forms of what headroom, memory and bursts remember from one tick to the next. Owns the
//! bounds of what is read back: a checkpoint must not make the agent remember without end.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Document, WireError, bad};
use crate::burst::{self, MAX_PODS, PodBurst};
use crate::headroom::{self, Amount, MAX_SAMPLES};
use crate::memory::{self, Pressured};
use crate::numa::MAX_NODES;
use crate::qos::PodUid;
use crate::units::{MilliCpu, NumaNodeId, Timestamp};

impl Document for HeadroomState {
    const KIND: &'static str = "headroom-state";
}

impl Document for BinderState {
    const KIND: &'static str = "memory-pressure";
}

impl Document for BurstState {
    const KIND: &'static str = "burst-state";
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadroomState {
    pub cpu: Window,
    pub memory: Window,
    pub cpu_milli_per_numa: BTreeMap<u16, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    pub samples: Vec<Sample>,
    pub lowest: Option<u64>,
    pub last: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    pub at_ns: u64,
    pub value: u64,
}

impl From<&headroom::HeadroomState> for HeadroomState {
    fn from(state: &headroom::HeadroomState) -> HeadroomState {
        let parts = state.cpu_per_numa.iter();
        HeadroomState {
            cpu: (&state.cpu).into(),
            memory: (&state.memory).into(),
            cpu_milli_per_numa: parts.map(|(id, cpu)| (id.0, cpu.0)).collect(),
        }
    }
}

impl TryFrom<HeadroomState> for headroom::HeadroomState {
    type Error = WireError;

    fn try_from(state: HeadroomState) -> Result<headroom::HeadroomState, WireError> {
        let parts = state.cpu_milli_per_numa.into_iter();
        Ok(headroom::HeadroomState {
            cpu: state.cpu.try_into()?,
            memory: state.memory.try_into()?,
            cpu_per_numa: parts
                .map(|(id, cpu)| Ok((node(id)?, MilliCpu(cpu))))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl From<&headroom::WindowState> for Window {
    fn from(window: &headroom::WindowState) -> Window {
        let sample = |one: &headroom::WindowSample| Sample { at_ns: one.at.0, value: one.value.0 };
        Window {
            samples: window.samples.iter().map(sample).collect(),
            lowest: window.lowest.map(|amount| amount.0),
            last: window.last.map(|amount| amount.0),
        }
    }
}

impl TryFrom<Window> for headroom::WindowState {
    type Error = WireError;

    fn try_from(window: Window) -> Result<headroom::WindowState, WireError> {
        if window.samples.len() > MAX_SAMPLES {
            return Err(bad("window.samples", window.samples.len()));
        }
        let sample = |one: &Sample| headroom::WindowSample {
            at: Timestamp(one.at_ns),
            value: Amount(one.value),
        };
        Ok(headroom::WindowState {
            samples: window.samples.iter().map(sample).collect(),
            lowest: window.lowest.map(Amount),
            last: window.last.map(Amount),
        })
    }
}

fn node(id: u16) -> Result<NumaNodeId, WireError> {
    if id < MAX_NODES { Ok(NumaNodeId(id)) } else { Err(bad("NUMA node", id)) }
}

/// Nodes under pressure, and since when each has been calm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinderState {
    pub calm_since_ns: BTreeMap<u16, Option<u64>>,
}

impl From<&memory::BinderState> for BinderState {
    fn from(state: &memory::BinderState) -> BinderState {
        let nodes = state.pressured.iter();
        let calm_since_ns = nodes.map(|(id, one)| (id.0, one.calm_since.map(|at| at.0)));
        BinderState { calm_since_ns: calm_since_ns.collect() }
    }
}

impl TryFrom<BinderState> for memory::BinderState {
    type Error = WireError;

    fn try_from(state: BinderState) -> Result<memory::BinderState, WireError> {
        let nodes = state.calm_since_ns.into_iter();
        let pressured = nodes
            .map(|(id, since)| Ok((node(id)?, Pressured { calm_since: since.map(Timestamp) })))
            .collect::<Result<_, WireError>>()?;
        Ok(memory::BinderState { pressured })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BurstState {
    pub pods: BTreeMap<String, Burst>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burst {
    pub percent: u8,
    pub calm_since_ns: Option<u64>,
}

impl From<&burst::BurstState> for BurstState {
    fn from(state: &burst::BurstState) -> BurstState {
        let pods = state.pods.iter().map(|(uid, one)| {
            let calm_since_ns = one.calm_since.map(|at| at.0);
            (uid.as_str().to_owned(), Burst { percent: one.percent, calm_since_ns })
        });
        BurstState { pods: pods.collect() }
    }
}

impl TryFrom<BurstState> for burst::BurstState {
    type Error = WireError;

    fn try_from(state: BurstState) -> Result<burst::BurstState, WireError> {
        if state.pods.len() > MAX_PODS {
            return Err(bad("burst.pods", state.pods.len()));
        }
        let pods = state.pods.into_iter().map(|(uid, one)| {
            if one.percent > 100 {
                return Err(bad("burst.percent", one.percent));
            }
            let calm_since = one.calm_since_ns.map(Timestamp);
            Ok((PodUid::new(uid), PodBurst { percent: one.percent, calm_since }))
        });
        Ok(burst::BurstState { pods: pods.collect::<Result<_, _>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headroom::{WindowSample, WindowState};
    use crate::wire::{from_json, to_json};

    fn window(n: usize) -> WindowState {
        let sample = |n: usize| WindowSample { at: Timestamp(n as u64), value: Amount(7) };
        let samples = (0..n).map(sample).collect();
        WindowState { samples, lowest: Some(Amount(3)), last: None }
    }

    #[test]
    fn what_is_remembered_comes_back() {
        let state = headroom::HeadroomState {
            cpu: window(MAX_SAMPLES),
            memory: window(0),
            cpu_per_numa: BTreeMap::from([(NumaNodeId(3), MilliCpu(500))]),
        };
        let text = to_json(&HeadroomState::from(&state)).expect("JSON");
        let read: HeadroomState = from_json(text.as_bytes()).expect("a document");
        assert_eq!(headroom::HeadroomState::try_from(read).expect("a state"), state);

        let pressured = BTreeMap::from([
            (NumaNodeId(0), Pressured { calm_since: None }),
            (NumaNodeId(1), Pressured { calm_since: Some(Timestamp(9)) }),
        ]);
        let state = memory::BinderState { pressured };
        let text = to_json(&BinderState::from(&state)).expect("JSON");
        let read: BinderState = from_json(text.as_bytes()).expect("a document");
        assert_eq!(memory::BinderState::try_from(read).expect("a state"), state);

        let one = PodBurst { percent: 40, calm_since: Some(Timestamp(5)) };
        let state = burst::BurstState { pods: BTreeMap::from([(PodUid::from("a"), one)]) };
        let text = to_json(&BurstState::from(&state)).expect("JSON");
        let read: BurstState = from_json(text.as_bytes()).expect("a document");
        assert_eq!(burst::BurstState::try_from(read).expect("a state"), state);
    }

    #[test]
    fn what_is_out_of_bounds_is_refused() {
        let mut state = HeadroomState::from(&headroom::HeadroomState::default());
        state.cpu_milli_per_numa = BTreeMap::from([(MAX_NODES, 1)]);
        let error = headroom::HeadroomState::try_from(state).expect_err("a node");
        assert_eq!(error.to_string(), "NUMA node cannot be \"64\"");
        let many = Window::from(&window(MAX_SAMPLES + 1));
        let error = WindowState::try_from(many).expect_err("samples");
        assert_eq!(error.to_string(), "window.samples cannot be \"65\"");
        let pods = BTreeMap::from([("a".to_owned(), Burst { percent: 101, calm_since_ns: None })]);
        let error = burst::BurstState::try_from(BurstState { pods }).expect_err("a percent");
        assert_eq!(error.to_string(), "burst.percent cannot be \"101\"");
        let wrong = from_json::<BinderState>(br#"{"kind":"plan","schema":1,"body":{}}"#);
        assert!(matches!(wrong, Err(WireError::WrongKind { .. })));
    }
}
