//! The agent as a process: started on a scene of cgroups with a configuration of its own, watched
//! through its files and its socket, killed in every way. No tests here.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use vmtest::{Load, TestCgroup, process, wait_until};

/// Under emulation with every CPU busy a second may take several.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Files that the agent may change, with what stood in them before.
pub(crate) const KNOBS: [&str; 4] = ["cpu.idle", "cpu.weight", "cpu.max", "cpuset.cpus.effective"];

/// A latency-critical service and batch pods, each a cgroup, without load.
pub(crate) struct Scene {
    pub(crate) root: TestCgroup,
    pub(crate) api: TestCgroup,
    pub(crate) pods: Vec<TestCgroup>,
    batch: TestCgroup,
    /// Pods that were made, so that no name comes twice.
    n_made: usize,
    name: String,
}

impl Scene {
    #[track_caller]
    pub(crate) fn new(name: &str, n_pods: usize) -> Scene {
        let controllers = ["cpu", "cpuset", "memory"];
        let root = TestCgroup::new(name);
        root.pass_on(&controllers);
        let api = root.child("api");
        let batch = root.child("batch");
        batch.pass_on(&controllers);
        let pods = (0..n_pods).map(|n| batch.child(&format!("pod-{n}"))).collect();
        Scene { root, api, pods, batch, n_made: n_pods, name: name.to_owned() }
    }

    /// Two hogs in every pod and a service that works 6 of every 20 ms.
    #[track_caller]
    pub(crate) fn contend(&self) -> Contention {
        let batch = self.pods.iter().map(|pod| pod.spin(8, None)).collect();
        let (period, work) = (Duration::from_millis(20), Duration::from_millis(6));
        let service = (0..8).map(|_| self.api.periodic(period, work, None)).collect();
        Contention { _service: service, _batch: batch }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn config(&self, mode: &str, agent_keys: &str) -> String {
        let name = &self.name;
        format!(
            "mode = \"{mode}\"\n[agent]\nruntime_dir = \"/run/berth-{name}\"\nlisten = \"127.0.0.1:0\"\n\
             watchdog_grace_ms = 1000\n{agent_keys}\n\
             [[workload]]\ncgroup = \"/t-{name}/api\"\nname = \"api\"\nqos = \"shared_cores\"\n\
             request_milli_cpu = 1000\ntarget_p99_us = 5000\n\
             [[workload]]\ncgroup = \"/t-{name}/batch/*\"\nname = \"batch\"\nqos = \"reclaimed_cores\"\n"
        )
    }

    #[track_caller]
    pub(crate) fn knobs(&self) -> Vec<String> {
        let cgroups = self.pods.iter().chain([&self.api]);
        cgroups.flat_map(|group| KNOBS.map(|file| format!("{file}={}", group.read(file)))).collect()
    }

    /// The first pod goes and a new one comes.
    #[track_caller]
    pub(crate) fn replace_pod(&mut self) {
        self.pods.remove(0).remove();
        self.pods.push(self.batch.child(&format!("pod-{}", self.n_made)));
        self.n_made += 1;
    }

    pub(crate) fn is_suppressed(&self) -> bool {
        self.pods
            .iter()
            .all(|pod| pod.read("cpu.idle") == "1" && pod.read("cpu.max") != "max 100000")
    }
}

/// The loads of a scene. The service ends first: a hog that is held down for it needs minutes to die.
pub(crate) struct Contention {
    _service: Vec<Load>,
    _batch: Vec<Load>,
}

/// A running agent; killed when dropped. Its watchdog ends by itself.
pub(crate) struct Agent {
    child: Child,
    pub(crate) dir: PathBuf,
    pub(crate) log: PathBuf,
}

impl Agent {
    /// Starts the agent and returns at once.
    #[track_caller]
    pub(crate) fn spawn(scene: &Scene, config: &str) -> Agent {
        Agent::spawn_as(scene, config, Command::new("berth-agent"))
    }

    /// As `spawn`, with a program or a surrounding of the caller's.
    #[track_caller]
    pub(crate) fn spawn_as(scene: &Scene, config: &str, mut command: Command) -> Agent {
        let dir = PathBuf::from(format!("/run/berth-{}", scene.name));
        let config_path = PathBuf::from(format!("/tmp/{}.toml", scene.name));
        let log = PathBuf::from(format!("/tmp/{}.log", scene.name));
        fs::write(&config_path, config).expect("write the configuration");
        let log_file =
            fs::File::options().create(true).append(true).open(&log).expect("open the log");
        let child = command
            .args(["run", "--config"])
            .arg(&config_path)
            .stdout(Stdio::null())
            .stderr(log_file)
            .spawn()
            .expect("start berth-agent");
        Agent { child, dir, log }
    }

    /// Starts the agent on a fresh runtime directory and waits until it answers on its socket.
    #[track_caller]
    pub(crate) fn start(scene: &Scene, config: &str) -> Agent {
        Agent::start_as(scene, config, Command::new("berth-agent"))
    }

    #[track_caller]
    pub(crate) fn start_as(scene: &Scene, config: &str, command: Command) -> Agent {
        let _absent = fs::remove_dir_all(format!("/run/berth-{}", scene.name));
        let _absent = fs::remove_file(format!("/tmp/{}.log", scene.name));
        let agent = Agent::spawn_as(scene, config, command);
        agent.wait_for_socket();
        agent
    }

    #[track_caller]
    pub(crate) fn wait_for_socket(&self) {
        // An agent that starts beside hogs on an emulated machine: it loads its BPF programs with
        // what they leave.
        let limit = LIMIT * 3;
        wait_until("the agent to answer on its socket", limit, || {
            self.berth(&["pools"]).status.success()
        });
    }

    /// Runs the CLI against this agent.
    #[track_caller]
    pub(crate) fn berth(&self, args: &[&str]) -> Output {
        let mut berth = Command::new("berth");
        process::run(berth.arg("--socket").arg(self.dir.join("agent.sock")).args(args), LIMIT)
    }

    /// What the CLI prints.
    #[track_caller]
    pub(crate) fn says(&self, args: &[&str]) -> String {
        String::from_utf8_lossy(&self.berth(args).stdout).into_owned()
    }

    /// Status line, headers and body of a path on the admin port, which the log names.
    #[track_caller]
    pub(crate) fn http(&self, path: &str) -> String {
        let log = self.log_text();
        let serving = "Serving /healthz /readyz /metrics address=";
        let address = log.lines().filter_map(|line| Some(line.split_once(serving)?.1)).next_back();
        let address: SocketAddr =
            address.unwrap_or_else(|| panic!("no port:\n{log}")).parse().expect("an address");
        let mut stream = TcpStream::connect_timeout(&address, LIMIT).expect("connect");
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        write!(stream, "GET {path} HTTP/1.1\r\nHost: guest\r\n\r\n").expect("ask");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read the answer");
        answer
    }

    /// Whether its metrics tell of a finding of this rule.
    #[track_caller]
    pub(crate) fn has_finding(&self, rule: &str) -> bool {
        let series = format!("berth_agent_findings{{rule=\"{rule}\"}} 1");
        self.http("/metrics").lines().any(|line| line == series)
    }

    pub(crate) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn decisions(&self) -> String {
        fs::read_to_string(self.dir.join("decisions.log")).unwrap_or_default()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    #[track_caller]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("a pid"), signal).expect("signal the agent");
    }

    /// SIGKILL, then reaped: nothing of it runs when this returns, its watchdog does.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        process::reap(&mut self.child);
    }

    /// As `kill`, and its watchdog before it: what it changed stays.
    #[track_caller]
    pub(crate) fn kill_with_watchdog(&mut self) {
        let pid = self.pid();
        let mut pids: Vec<i32> = Vec::new();
        // Any of its threads may have started it.
        for task in fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten() {
            let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            pids.extend(text.split_whitespace().flat_map(str::parse::<i32>));
        }
        assert!(!pids.is_empty(), "the watchdog runs");
        // Stopped, so that it does not start another one.
        self.signal(rustix::process::Signal::STOP);
        for pid in pids.into_iter().filter_map(rustix::process::Pid::from_raw) {
            // Listed twice, or gone.
            let _gone = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        self.kill();
    }

    /// SIGTERM and the exit code.
    #[track_caller]
    pub(crate) fn stop(mut self) -> i32 {
        self.signal(rustix::process::Signal::TERM);
        process::exit_code("the agent to stop", LIMIT, &mut self.child)
    }

    /// Exit code and log of an agent that is expected to end by itself.
    #[track_caller]
    pub(crate) fn outcome(mut self) -> (i32, String) {
        let code = process::exit_code("the agent to give up", LIMIT, &mut self.child);
        (code, self.log_text())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let stacks = process::stacks(self.pid());
        process::reap(&mut self.child);
        if std::thread::panicking() {
            let (log, decisions) = (self.log_text(), self.decisions());
            // Straight to the descriptor: a failing test has more important things to say first.
            let _told = writeln!(
                std::io::stderr(),
                "--- log\n{log}\n--- decisions\n{decisions}\n--- threads\n{stacks}"
            );
        }
    }
}
