//! Scripts: one command per line, `#` begins a comment. Owns the language and the printed trace.
//!
//! ```text
//! node 2x1x1                     NUMA nodes x cores x threads; first line
//! policy overlap off             also: reserve N, floor N, growth N, shrink-after SECONDS, hold MS
//! workload web shared 500 200    name, qos, request and demand in mCPU
//! batch ml 2000                  reclaimed, demand
//! demand web 1800                changes a demand
//! tick [N]                       N seconds (1), the slow tick after each
//! wait MS                        time passes, deadlines are kept
//! burst web ml                   victim and offender
//! kill ml | offline 1 | online 1 | freeze-probe | thaw-probe
//! deny ml cpuset.cpus | allow ml cpuset.cpus
//! write ml cpu.weight 50         somebody else writes a file
//! show                           every cgroup's files
//! lose-records                   nothing is recorded until the next tick is over
//! ```

use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;

use advisor::{Effects, TurnState};
use model::decision::Decision;
use model::knob::{CpuMax, CpuWeight, Knob, KnobValue, MemoryLimit};
use model::placement::ReclaimReserve;
use model::plan::Step;
use model::policy::{Policy, Reserve};
use model::qos::{PoolName, QosLevel, WorkloadName};
use model::record::{Entry, Recorded, Standing};
use model::sample::{Burst, WorkloadSpec};
use model::wire::recording::Encoder;
use model::{CpuId, Micros, MilliCpu, Nanos, NumaSet, SlotId, Timestamp};

use crate::node::Node;

/// A line that is no command.
#[derive(Debug, PartialEq, Eq)]
pub struct ScriptError {
    pub line: usize,
    pub text: String,
    pub why: String,
}

impl std::fmt::Display for ScriptError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {:?}: {}", self.line, self.text, self.why)
    }
}

impl std::error::Error for ScriptError {}

/// Runs a script and gives the trace of everything decided and written.
pub fn run(script: &str) -> Result<String, ScriptError> {
    record(script).map(|recording| recording.trace)
}

/// A script that was run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    pub trace: String,
    /// What an agent would have recorded, line by line.
    pub lines: Vec<String>,
}

/// Runs a script with everything recorded that went into the turn.
pub fn record(script: &str) -> Result<Recording, ScriptError> {
    let mut world = World::new();
    for (idx, line) in script.lines().enumerate() {
        let command = line.split('#').next().unwrap_or_default().trim();
        if command.is_empty() {
            continue;
        }
        let words: Vec<&str> = command.split_whitespace().collect();
        let _ = writeln!(world.trace, "> {command}");
        let failed = |why| ScriptError { line: idx + 1, text: line.to_owned(), why };
        world.command(&words).map_err(failed)?;
    }
    Ok(Recording { trace: world.trace, lines: world.lines })
}

struct World {
    node: Node,
    policy: Policy,
    turn: Option<TurnState>,
    deadline: Option<Timestamp>,
    trace: String,
    encoder: Encoder,
    lines: Vec<String>,
    /// Entries that were not recorded, while none are.
    losing: Option<u64>,
}

type Done = Result<(), String>;

impl World {
    fn new() -> World {
        let policy = Policy { mode: model::policy::Mode::Enforce, ..Policy::default() };
        World {
            node: Node::new(1, 1, 1),
            policy,
            turn: None,
            deadline: None,
            trace: String::new(),
            encoder: Encoder::default(),
            lines: Vec::new(),
            losing: None,
        }
    }

    fn command(&mut self, words: &[&str]) -> Done {
        match words {
            ["node", shape] => self.set_node(shape),
            ["policy", key, value] => self.set_policy(key, value),
            ["workload", name, qos, request, demand] => {
                let qos =
                    QosLevel::from_name(&format!("{qos}_cores")).ok_or("no such QoS level")?;
                self.make(name, qos, request, demand)
            }
            ["batch", name, demand] => self.make(name, QosLevel::ReclaimedCores, "0", demand),
            ["level", name, qos] => {
                let qos =
                    QosLevel::from_name(&format!("{qos}_cores")).ok_or("no such QoS level")?;
                self.cgroup(name)?.spec.qos = qos;
                Ok(())
            }
            ["demand", name, demand] => {
                self.cgroup(name)?.demand = MilliCpu(number(demand)?);
                Ok(())
            }
            ["tick"] => self.ticks(1),
            ["tick", n] => self.ticks(number(n)?),
            ["wait", ms] => {
                self.wait(Nanos::from_millis(number(ms)?));
                Ok(())
            }
            ["burst", victim, offender] => self.burst(victim, offender),
            ["kill", name] => {
                self.node.cgroups.remove(*name).map(drop).ok_or_else(|| format!("no {name}"))
            }
            ["offline", cpu] => self.set_online(cpu, false),
            ["online", cpu] => self.set_online(cpu, true),
            ["freeze-probe"] => {
                self.node.frozen = Some(self.node.sample().probe);
                Ok(())
            }
            ["thaw-probe"] => {
                self.node.frozen = None;
                Ok(())
            }
            ["deny", name, file] => {
                self.node.denied.insert(denied(name, file)?);
                Ok(())
            }
            ["allow", name, file] => {
                self.node.denied.remove(&denied(name, file)?);
                Ok(())
            }
            ["write", name, file, value @ ..] => {
                let value = knob_value(file, &value.join(" "))?;
                self.cgroup(name)?.knobs.record(value);
                Ok(())
            }
            ["lose-records"] => {
                self.turn();
                self.losing = Some(0);
                Ok(())
            }
            ["show"] => {
                self.show();
                Ok(())
            }
            _ => Err("no such command".to_owned()),
        }
    }

    fn set_node(&mut self, shape: &str) -> Done {
        let parts: Result<Vec<u16>, String> = shape.split('x').map(number).collect();
        let [nodes, cores, threads] = parts?[..] else { return Err("not NxCxT".to_owned()) };
        self.node = Node::new(nodes, cores, threads);
        Ok(())
    }

    fn set_policy(&mut self, key: &str, value: &str) -> Done {
        match key {
            "overlap" => self.policy.placement.overlap_shared_reclaim = value == "on",
            "reserve" => self.policy.placement.reserve = Reserve::Count(number(value)?),
            "floor" => {
                self.policy.placement.reclaim_reserve = ReclaimReserve::Count(number(value)?);
            }
            "growth" => self.policy.reclaim.max_growth_per_tick = number(value)?,
            "shrink-after" => self.policy.share.shrink_after = Nanos::from_secs(number(value)?),
            "hold" => self.policy.suppression.hold = Nanos::from_millis(number(value)?),
            _ => return Err("no such policy".to_owned()),
        }
        Ok(())
    }

    fn make(&mut self, name: &str, qos: QosLevel, request: &str, demand: &str) -> Done {
        let spec = WorkloadSpec::plain(qos, MilliCpu(number(request)?));
        self.node.make(name, spec, MilliCpu(number(demand)?));
        Ok(())
    }

    fn cgroup(&mut self, name: &str) -> Result<&mut crate::node::Cgroup, String> {
        self.node.cgroups.get_mut(name).ok_or_else(|| format!("no workload {name}"))
    }

    fn turn(&mut self) -> &mut TurnState {
        if self.turn.is_none() {
            self.lines.push(Encoder::head("sim"));
            let start = Standing::start(self.policy.clone(), None);
            self.entry(Entry::Standing(Box::new(start)), &[]);
        }
        let policy = &self.policy;
        self.turn.get_or_insert_with(|| TurnState::new(policy.clone()))
    }

    fn entry(&mut self, entry: Entry, decisions: &[Decision]) {
        if let Some(lost) = &mut self.losing {
            *lost += 1;
            return;
        }
        let decisions = decisions.to_vec();
        self.lines.push(self.encoder.line(&Recorded { entry, decisions }));
    }

    fn ticks(&mut self, n: u64) -> Done {
        for _ in 0..n {
            self.wait(Nanos::from_secs(1));
            let (now, sample) = (self.node.now, self.node.sample());
            let job = self.turn().begin(now);
            self.entry(Entry::Begin { now }, &[]);
            let planned = job.run(sample);
            let sample = Arc::clone(planned.sample());
            let effects = self.turn().finish(now, planned);
            self.entry(Entry::Finish { now, sample }, &effects.decisions);
            self.take(&effects);
            self.go_on_recording();
        }
        Ok(())
    }

    fn go_on_recording(&mut self) {
        if let Some(lost) = self.losing.take() {
            self.lines.push(Encoder::gap(lost));
            let standing = self.turn().standing();
            self.entry(Entry::Standing(Box::new(standing)), &[]);
        }
    }

    /// Passes time and calls `expire` at the deadline, as the agent's loop does.
    fn wait(&mut self, span: Nanos) {
        let until = self.node.now.after(span);
        if let Some(deadline) = self.deadline.filter(|deadline| *deadline < until) {
            let first = deadline.since(self.node.now);
            self.node.run_for(first);
            let now = self.node.now;
            let effects = self.turn().expire(now);
            self.entry(Entry::Expire { now }, &effects.decisions);
            self.take(&effects);
        }
        self.node.run_for(until.since(self.node.now));
    }

    fn burst(&mut self, victim: &str, offender: &str) -> Done {
        let slot = |world: &mut World, name: &str| world.cgroup(name).map(|cgroup| cgroup.slot);
        let offender = slot(self, offender).unwrap_or(SlotId::UNTRACKED);
        let now = self.node.now;
        let burst = Burst {
            victim: slot(self, victim)?,
            cpu: CpuId(0),
            first_wait_at: now,
            wait: Nanos::from_millis(5),
            offender,
        };
        let effects = self.turn().burst(now, &burst);
        self.entry(Entry::Burst { now, burst }, &effects.decisions);
        self.take(&effects);
        Ok(())
    }

    fn set_online(&mut self, cpu: &str, online: bool) -> Done {
        self.node.set_online(CpuId(number(cpu)?), online);
        Ok(())
    }

    fn take(&mut self, effects: &Effects) {
        let at = format!(
            "{}.{:03}",
            self.node.now.0 / 1_000_000_000,
            self.node.now.0 / 1_000_000 % 1000
        );
        for finding in &effects.findings {
            let _ = writeln!(
                self.trace,
                "{at} ! {} {}: {}",
                finding.rule, finding.subject, finding.message
            );
        }
        for decision in &effects.decisions {
            let _ = writeln!(
                self.trace,
                "{at} {} {}: {}",
                decision.rule, decision.subject, decision.result
            );
        }
        self.deadline = effects.next_deadline;
        effects.released.iter().for_each(|release| self.node.release(release));
        self.carry_out(&effects.fast);
        self.carry_out(&effects.slow);
    }

    /// As an actuator: in order, up to the first fatal failure.
    fn carry_out(&mut self, steps: &[Step]) {
        for step in steps {
            let outcome = self.node.apply(step);
            let fatal =
                outcome.result.as_ref().err().is_some_and(|failure| failure.kind.is_fatal());
            let said = match &outcome.result {
                Ok(_) => String::new(),
                Err(failure) => format!("  -> {:?}", failure.kind),
            };
            let _ = writeln!(self.trace, "        {step}{said}");
            self.turn().outcome(&outcome);
            self.entry(Entry::Outcome(Box::new(outcome)), &[]);
            if fatal {
                break;
            }
        }
    }

    fn show(&mut self) {
        if let Some(plan) = self.turn.as_ref().and_then(TurnState::plan) {
            let pool =
                |name: &str| plan.pools.get(name).map(|p| p.cpus.to_string()).unwrap_or_default();
            let (reserve, share, reclaim) =
                (pool(PoolName::RESERVE), pool(PoolName::SHARE), pool(PoolName::RECLAIM));
            let _ =
                writeln!(self.trace, "  reserve [{reserve}] share [{share}] reclaim [{reclaim}]");
        }
        for (name, cgroup) in &self.node.cgroups {
            let values = Knob::ALL.into_iter().filter_map(|knob| cgroup.knobs.get(knob));
            let values: Vec<String> = values.map(|v| format!("{}={v}", v.knob().file())).collect();
            let _ = writeln!(self.trace, "  {name}: {}", values.join(" "));
        }
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_bad| format!("{text:?} is not a number of this size"))
}

fn denied(name: &str, file: &str) -> Result<(WorkloadName, Knob), String> {
    let knob = Knob::from_file(file).ok_or_else(|| format!("no file {file}"))?;
    Ok((WorkloadName::from(name), knob))
}

fn knob_value(file: &str, text: &str) -> Result<KnobValue, String> {
    match Knob::from_file(file) {
        Some(Knob::CpuIdle) => Ok(KnobValue::CpuIdle(text == "1")),
        Some(Knob::CpuWeight) => CpuWeight::new(number(text)?)
            .map(KnobValue::CpuWeight)
            .ok_or_else(|| "not 1..=10000".to_owned()),
        Some(Knob::CpuMax) => {
            let quota = if text == "max" { None } else { Some(Micros(number(text)?)) };
            Ok(KnobValue::CpuMax(CpuMax { quota, ..CpuMax::UNLIMITED }))
        }
        Some(Knob::CpusetCpus) => {
            let bad = |error: model::cpuset::ParseCpuListError| error.to_string();
            text.parse().map(KnobValue::CpusetCpus).map_err(bad)
        }
        Some(Knob::CpuMaxBurst) => Ok(KnobValue::CpuMaxBurst(Micros(number(text)?))),
        Some(Knob::CpusetMems) => NumaSet::parse(text)
            .map(KnobValue::CpusetMems)
            .ok_or_else(|| "not a list of memory nodes".to_owned()),
        Some(Knob::MemoryMin) => limit(text).map(KnobValue::MemoryMin),
        Some(Knob::MemoryLow) => limit(text).map(KnobValue::MemoryLow),
        Some(Knob::MemoryHigh) => limit(text).map(KnobValue::MemoryHigh),
        Some(Knob::MemoryMax) => limit(text).map(KnobValue::MemoryMax),
        Some(Knob::OomScoreAdj) => text
            .parse()
            .map(KnobValue::OomScoreAdj)
            .map_err(|_no_score| "not -1000..=1000".to_owned()),
        None => Err(format!("no file {file}")),
    }
}

fn limit(text: &str) -> Result<MemoryLimit, String> {
    text.parse().map_err(|_no_number| "not bytes or `max`".to_owned())
}
