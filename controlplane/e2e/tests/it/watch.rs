//! Files of a node that are read again and again, and for how many turns of the agent they hold something else than at first. Owns the
//! reading, in the node, and the arithmetic.

use testkit::{Node, Shell, eventually};

use crate::node_agent::SOON;

/// How many turns an agent of a DaemonSet has ended: its admin port is on the loopback of its pod.
const TICKS: &str = "ticks() { set -- `pidof berth-agent`; nsenter -t $1 -n wget -qO- 127.0.0.1:9910/metrics | sed -n 's/^[a-z_]*_ticks_total \\([0-9]*\\)$/\\1/p'; }";

/// One that runs in the node, and writes a line when something else is read than before: the agent's turns, what is read.
pub(crate) struct Watch {
    shell: Shell,
    files: Vec<String>,
}

impl Watch {
    pub(crate) async fn start(node: &Node, files: Vec<String>) -> Watch {
        let script = format!(
            "{TICKS}\nwhile :; do now=$(echo $(cat {})); [ \"$now\" = \"$last\" ] || echo \"$(ticks) $now\"; last=$now; usleep 50000; done",
            files.join(" ")
        );
        let start = format!(
            "cat >/run/watch.sh <<'END'\n{script}\nEND\nsetsid sh /run/watch.sh >/run/watched 2>&1 </dev/null & echo $! >/run/watch.pid"
        );
        let watch = Watch { shell: node.shell().clone(), files };
        watch.sh(&start).await;
        let reads = async || Ok((!watch.lines().await.is_empty()).then_some(()));
        eventually("the first reading", SOON, reads).await.unwrap();
        watch
    }

    async fn sh(&self, line: &str) -> String {
        self.shell.run(line).await.unwrap().success().unwrap()
    }

    async fn lines(&self) -> Vec<String> {
        self.sh("cat /run/watched").await.lines().map(str::to_owned).collect()
    }

    /// When all is as at first: how often something was not, and for how many turns at most, as a sentence.
    pub(crate) async fn end(self, at_most: u64) -> String {
        let is_as_at_first = async || {
            let lines = self.lines().await;
            let held = |line: &String| line.split_once(' ').map(|(_, held)| held.to_owned());
            Ok((lines.first().and_then(held) == lines.last().and_then(held)).then_some(lines))
        };
        let lines = eventually("the files to hold what they held", SOON, is_as_at_first).await;
        let Ok(lines) = lines else { panic!("{:?}: {:#?}", self.files, self.lines().await) };
        self.sh("kill $(cat /run/watch.pid)").await;
        let turns = turns_of_others(&lines);
        let longest = turns.iter().max().copied().unwrap_or_default();
        assert!(longest <= at_most, "{:?}: {lines:#?}", self.files);
        format!(
            "{} times written by others, right after {longest} turns of the agent at most",
            turns.len()
        )
    }
}

/// For how many turns each spell lasted in which something else was read than at first.
fn turns_of_others(lines: &[String]) -> Vec<u64> {
    let rows = lines.iter().filter_map(|line| line.split_once(' '));
    let rows: Vec<(u64, &str)> = rows.map(|(turn, held)| (turn.parse().unwrap(), held)).collect();
    let Some((_, at_first)) = rows.first() else { return Vec::new() };
    let mut spells = Vec::new();
    let mut since = None;
    for (turn, held) in &rows {
        match (held == at_first, since) {
            (true, Some(began)) => {
                spells.push(turn - began);
                since = None;
            }
            (false, None) => since = Some(*turn),
            (true, None) | (false, Some(_)) => {}
        }
    }
    spells
}

#[test]
fn spells_of_others() {
    let rows: [(&[&str], &[u64]); 4] = [
        (&[], &[]),
        (&["3 a b"], &[]),
        (&["3 a b", "5 a c", "6 a b", "9 c c", "9 d d", "11 a b"], &[1, 2]),
        (&["3 a", "5 b"], &[]),
    ];
    for (lines, expect) in rows {
        let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        assert_eq!(turns_of_others(&lines), expect, "{lines:?}");
    }
}
