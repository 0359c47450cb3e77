//! One function per command: ask the agent, render, print.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use clap::CommandFactory;
use proto::v1;
use serde::Serialize;
use tonic::{Code, Status};

use crate::args::{Cli, Command, ModeArg, Output, TopArgs, TopologyFormat};
use crate::client::{Client, connect};
use crate::exit::{Exit, Failure};
use crate::nearest::nearest;
use crate::render::{self, Detail, Look, Paint};
use crate::top;

/// The agent gives its doctor 10 s; everything else is a look at memory.
const CALL_DEADLINE: Duration = Duration::from_secs(15);

pub(crate) async fn run(cli: Cli) -> Result<Exit, Failure> {
    let Cli { command, socket, output } = cli;
    if let Command::Completion { shell } = command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "berth", &mut script);
        return print(&String::from_utf8_lossy(&script));
    }
    let agent = Agent { socket: &socket, output, look: look(output) };
    match command {
        Command::Top(args) => agent.top(args).await,
        Command::Qos => agent.qos().await,
        Command::Pools => agent.pools().await,
        Command::WhySlow { name } => agent.why_slow(&name).await,
        Command::Doctor => agent.doctor().await,
        Command::Health => agent.health().await,
        Command::Decisions { follow: false, n } => agent.decisions(n).await,
        Command::Decisions { follow: true, n } => agent.follow_decisions(n).await,
        Command::Topology { format } => agent.topology(format).await,
        Command::Policy => agent.policy().await,
        Command::Snapshot => agent.snapshot().await,
        Command::Explain { name, .. } if name == "headroom" => {
            agent.headroom(render::headroom::explained).await
        }
        Command::Explain { name, n } => agent.explain(&name, n).await,
        Command::Headroom => agent.headroom(render::headroom::headroom).await,
        Command::Mode { mode } => agent.mode(mode).await,
        Command::Completion { .. } => Ok(Exit::Ok),
    }
}

fn look(output: Output) -> Look {
    let detail = match output {
        Output::Wide => Detail::Wide,
        Output::Table | Output::Json => Detail::Table,
    };
    let paint = match io::stdout().is_terminal() && !no_color() {
        true => Paint::Ansi,
        false => Paint::Plain,
    };
    Look { detail, paint }
}

/// <https://no-color.org>: present and not empty.
pub(crate) fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Where to ask and how to print.
struct Agent<'a> {
    socket: &'a Path,
    output: Output,
    look: Look,
}

impl Agent<'_> {
    async fn client(&self) -> Result<Client, Failure> {
        connect(self.socket).await
    }

    /// One call with a deadline, its failure in words.
    async fn call<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Failure> {
        let answer = match tokio::time::timeout(CALL_DEADLINE, call).await {
            Ok(answer) => answer,
            Err(_) => Err(Status::deadline_exceeded("it accepted the call and did not answer")),
        };
        match answer {
            Ok(reply) => Ok(reply.into_inner()),
            Err(status) => Err(Failure::of_status(status, self.socket)),
        }
    }

    fn show<T: Serialize>(
        &self,
        reply: &T,
        text: impl FnOnce() -> String,
    ) -> Result<Exit, Failure> {
        match self.output {
            Output::Json => print(&json(reply)?),
            Output::Table | Output::Wide => print(&text()),
        }
    }

    async fn top(&self, args: TopArgs) -> Result<Exit, Failure> {
        if self.output != Output::Json && !args.once {
            return top::live(self.socket, args).await;
        }
        let mut client = self.client().await?;
        let snapshot = self.call(client.get_snapshot(v1::GetSnapshotRequest {})).await?;
        self.show(&snapshot, || top::once(&snapshot, &args))
    }

    async fn qos(&self) -> Result<Exit, Failure> {
        #[derive(Serialize)]
        struct Qos {
            workloads: Vec<v1::Workload>,
            plan: v1::Plan,
        }
        let mut client = self.client().await?;
        let snapshot = self.call(client.get_snapshot(v1::GetSnapshotRequest {})).await?;
        let plan = self.call(client.get_plan(v1::GetPlanRequest {})).await?;
        let text = render::qos::qos(&snapshot, &plan, self.look);
        self.show(&Qos { workloads: snapshot.workloads, plan }, || text)
    }

    async fn pools(&self) -> Result<Exit, Failure> {
        #[derive(Serialize)]
        struct Pools {
            pools: Vec<v1::Pool>,
            topology: v1::Topology,
        }
        let mut client = self.client().await?;
        let snapshot = self.call(client.get_snapshot(v1::GetSnapshotRequest {})).await?;
        let topology = self.call(client.get_topology(v1::GetTopologyRequest {})).await?;
        let text = render::pools::pools(&snapshot, &topology, self.look);
        self.show(&Pools { pools: snapshot.pools, topology }, || text)
    }

    async fn why_slow(&self, name: &str) -> Result<Exit, Failure> {
        let mut client = self.client().await?;
        let request = v1::WhySlowRequest { workload: name.to_owned() };
        match self.call(client.why_slow(request)).await {
            Ok(report) => self.show(&report, || render::why_slow::why_slow(&report, self.look)),
            Err(Failure::Refused { status }) if status.code() == Code::NotFound => {
                let known = self.call(client.get_snapshot(v1::GetSnapshotRequest {})).await?;
                let names = known.workloads.iter().map(|workload| workload.name.as_str());
                Err(Failure::NoSuchWorkload {
                    name: name.to_owned(),
                    nearest: nearest(name, names),
                })
            }
            Err(other) => Err(other),
        }
    }

    async fn doctor(&self) -> Result<Exit, Failure> {
        let mut client = self.client().await?;
        let report = self.call(client.doctor(v1::DoctorRequest {})).await?;
        self.show(&report, || render::doctor::doctor(&report, self.look))?;
        match render::doctor::has_failure(&report) {
            true => Ok(Exit::Finding),
            false => Ok(Exit::Ok),
        }
    }

    async fn health(&self) -> Result<Exit, Failure> {
        let mut client = self.client().await?;
        let snapshot = self.call(client.get_snapshot(v1::GetSnapshotRequest {})).await?;
        let health = render::health::Health::of(&snapshot);
        self.show(&health, || health.to_string())?;
        match health.ok {
            true => Ok(Exit::Ok),
            false => Ok(Exit::Finding),
        }
    }

    async fn decisions(&self, limit: u32) -> Result<Exit, Failure> {
        let mut client = self.client().await?;
        let reply = self.call(client.list_decisions(v1::ListDecisionsRequest { limit })).await?;
        self.show(&reply, || render::decisions::decisions(&reply, self.look))
    }

    /// Until Ctrl-C, a closed pipe, or the end of the agent. JSON is one object per line.
    async fn follow_decisions(&self, backlog: u32) -> Result<Exit, Failure> {
        let mut client = self.client().await?;
        let backlog = if backlog == 0 { u32::MAX } else { backlog };
        let request = v1::WatchDecisionsRequest { backlog };
        let mut replies = self.call(client.watch_decisions(request)).await?;
        loop {
            let reply = tokio::select! {
                reply = replies.message() => reply,
                _ = tokio::signal::ctrl_c() => return Ok(Exit::Ok),
            };
            let reply = match reply {
                Ok(Some(reply)) => reply,
                Ok(None) => return Err(Failure::WentAway { socket: self.socket.to_owned() }),
                Err(status) => return Err(Failure::of_status(status, self.socket)),
            };
            let text = match self.output {
                Output::Json => json_lines(&reply.decisions)?,
                Output::Table | Output::Wide => render::decisions::decisions(&reply, self.look),
            };
            if !write_out(&text)? {
                return Ok(Exit::Ok);
            }
        }
    }

    async fn topology(&self, format: TopologyFormat) -> Result<Exit, Failure> {
        #[derive(Serialize)]
        struct Machine {
            topology: v1::Topology,
            pools: Vec<v1::Pool>,
        }
        let mut client = self.client().await?;
        let topology = self.call(client.get_topology(v1::GetTopologyRequest {})).await?;
        let pools = self.call(client.get_snapshot(v1::GetSnapshotRequest {})).await?.pools;
        let is_json = format == TopologyFormat::Json || self.output == Output::Json;
        match format {
            _ if is_json => print(&json(&Machine { topology, pools })?),
            TopologyFormat::Dot => print(&render::topology::dot(&topology, &pools)),
            TopologyFormat::Svg => print(&render::topology::svg(&topology, &pools)),
            _ => print(&render::topology::tree(&topology, &pools, self.look)),
        }
    }

    async fn policy(&self) -> Result<Exit, Failure> {
        let mut client = self.client().await?;
        let policy = self.call(client.get_policy(v1::GetPolicyRequest {})).await?;
        self.show(&policy, || render::policy::policy(&policy, self.look))
    }

    /// JSON is the recorded form, which `berth-agent plan` reads; what is for people comes from
    /// the same reply as `berth top`.
    async fn snapshot(&self) -> Result<Exit, Failure> {
        let mut client = self.client().await?;
        if self.output == Output::Json {
            let request = v1::GetRecordedSnapshotRequest {};
            let reply = self.call(client.get_recorded_snapshot(request)).await?;
            return print(&format!("{}\n", reply.json));
        }
        let snapshot = self.call(client.get_snapshot(v1::GetSnapshotRequest {})).await?;
        print(&render::snapshot::snapshot(&snapshot, self.look))
    }

    async fn explain(&self, name: &str, n: usize) -> Result<Exit, Failure> {
        let mut client = self.client().await?;
        match self.call(client.explain(v1::ExplainRequest { name: name.to_owned() })).await {
            Ok(reply) => self.show(&reply, || render::explain::explain(&reply, n, self.look)),
            Err(Failure::Refused { status }) if status.code() == Code::NotFound => {
                let nearest = self.nearest_of_all(&mut client, name).await?;
                Err(Failure::NothingNamed { name: name.to_owned(), nearest })
            }
            Err(other) => Err(other),
        }
    }

    /// Among workloads, pools and the rules of remembered decisions.
    async fn nearest_of_all(
        &self,
        client: &mut Client,
        name: &str,
    ) -> Result<Vec<String>, Failure> {
        let known = self.call(client.get_snapshot(v1::GetSnapshotRequest {})).await?;
        let request = v1::ListDecisionsRequest { limit: 0 };
        let made = self.call(client.list_decisions(request)).await?;
        let mut names: Vec<&str> = known.workloads.iter().map(|w| w.name.as_str()).collect();
        names.extend(known.pools.iter().map(|pool| pool.name.as_str()));
        names.extend(made.decisions.iter().map(|decision| decision.rule.as_str()));
        names.sort_unstable();
        names.dedup();
        Ok(nearest(name, names.into_iter()))
    }

    async fn headroom(&self, text: fn(&v1::Headroom) -> String) -> Result<Exit, Failure> {
        let mut client = self.client().await?;
        match self.call(client.get_headroom(v1::GetHeadroomRequest {})).await {
            Ok(reply) => self.show(&reply, || text(&reply)),
            Err(Failure::Refused { status }) if status.code() == Code::Unimplemented => {
                Err(Failure::Unsupported { what: "headroom", why: status.message().to_owned() })
            }
            Err(other) => Err(other),
        }
    }

    async fn mode(&self, mode: ModeArg) -> Result<Exit, Failure> {
        let mode = match mode {
            ModeArg::Observe => v1::Mode::Observe,
            ModeArg::Enforce => v1::Mode::Enforce,
        };
        let mut client = self.client().await?;
        let reply = self.call(client.set_mode(v1::SetModeRequest { mode: mode.into() })).await?;
        self.show(&reply, || match reply.mode == reply.previous {
            true => format!("mode {} (it was before)\n", mode_name(reply.mode())),
            false => {
                format!("mode {} (was {})\n", mode_name(reply.mode()), mode_name(reply.previous()))
            }
        })
    }
}

pub(crate) fn mode_name(mode: v1::Mode) -> &'static str {
    match mode {
        v1::Mode::Observe => "observe",
        v1::Mode::Enforce => "enforce",
        v1::Mode::Unspecified => "unknown",
    }
}

fn json<T: Serialize>(reply: &T) -> Result<String, Failure> {
    let mut text = serde_json::to_string_pretty(reply)
        .map_err(|source| Failure::Output { source: source.into() })?;
    text.push('\n');
    Ok(text)
}

fn json_lines<T: Serialize>(rows: &[T]) -> Result<String, Failure> {
    let mut text = String::new();
    for row in rows {
        text += &serde_json::to_string(row)
            .map_err(|source| Failure::Output { source: source.into() })?;
        text.push('\n');
    }
    Ok(text)
}

fn print(text: &str) -> Result<Exit, Failure> {
    write_out(text).map(|_| Exit::Ok)
}

/// False when the reader (`| head`) has gone, which is no failure.
fn write_out(text: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(source) => Err(Failure::Output { source }),
    }
}
