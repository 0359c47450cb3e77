//! The command line. Help is read at three in the morning: each command says what it answers and
//! shows one example.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::top::SortKey;

const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   done, and something is not well: a failed doctor check, a refusal by the agent
  2   wrong usage
  3   cannot reach the agent (not running, other socket, no permission)
  4   no such workload, pool or rule
  64  a value that makes no sense";

/// See who slows whom on this node, and what Berth does about it
#[derive(Debug, Parser)]
#[command(name = "berth", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// The agent's socket
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "BERTH_SOCKET",
        default_value = "/run/berth/agent.sock"
    )]
    pub(crate) socket: PathBuf,
    /// How to print
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// The agent's answer as it came
    Json,
    /// For people
    #[default]
    Table,
    /// For people with wide screens: every column
    Wide,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Live view: pools on the CPU map, workloads with their waits, suppression
    ///
    /// Keys: c usage, p wait p99, t throttled, s pressure, m memory, n name, l QoS level to
    /// sort; r reverses; / filters; ? helps; q leaves.
    #[command(after_help = "Example: berth top --sort p99\n         berth top --once | head -5")]
    Top(TopArgs),
    /// Workloads with their QoS level, what they asked for, and what stands in their cgroup files
    ///
    /// A file that does not hold what the plan says shows both values.
    #[command(after_help = "Example: berth qos -o wide")]
    Qos,
    /// Pools: their CPUs, what they need and what they use, drawn per NUMA node
    #[command(after_help = "Example: berth pools")]
    Pools,
    /// Where the CPU waiting of one workload went; the parts always sum to 100 %
    #[command(after_help = "Example: berth why-slow web")]
    WhySlow {
        /// As `berth qos` prints it
        name: String,
    },
    /// Check everything the agent relies on, with the fix for each problem; exit code 1 if one fails
    #[command(after_help = "Example: berth doctor || echo 'this node needs a look'")]
    Doctor,
    /// Does the agent's loop turn? Exit code 1 when it has stood still for 30 s, for a probe or a script
    #[command(after_help = "Example: berth health || systemctl restart berth-agent")]
    Health,
    /// What the agent decided, when and from which numbers
    #[command(after_help = "Example: berth decisions --follow")]
    Decisions {
        /// Keep printing as decisions are made, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
        /// So many of the newest first; 0 is all the agent remembers
        #[arg(short, default_value_t = 20)]
        n: u32,
    },
    /// The machine: sockets, NUMA nodes with distances and memory, LLC groups, cores, CPUs, pools
    ///
    /// The picture and the graph go to standard output.
    #[command(after_help = "Example: berth topology\n         \
                            berth topology --format svg > machine.svg\n         \
                            berth topology --format dot | dot -Tpdf > machine.pdf")]
    Topology {
        /// A tree of text, JSON, a graph for graphviz, or a picture
        #[arg(long, value_enum, default_value_t)]
        format: TopologyFormat,
    },
    /// What the operator wants: each value with its source, built in or a line of the file
    #[command(after_help = "Example: berth policy\n         berth policy -o wide")]
    Policy,
    /// The node as the agent sees it: host, workloads, how fresh each source is
    ///
    /// With -o json it is the form that `berth-agent plan --from` reads.
    #[command(after_help = "Example: berth snapshot -o json > now.json")]
    Snapshot,
    /// Everything recorded about a workload, a pool or a rule, and where it is placed now and why
    ///
    /// `berth explain headroom` prints every term of the sum.
    #[command(after_help = "Example: berth explain web\n         berth explain share\n         \
                            berth explain suppress-begin")]
    Explain {
        /// As `berth qos`, `berth pools` or `berth decisions` print it
        name: String,
        /// So many of the newest decisions; 0 is all the agent remembers
        #[arg(short, default_value_t = 10)]
        n: usize,
    },
    /// What reclaimed work may still take
    #[command(after_help = "Example: berth headroom && berth explain headroom")]
    Headroom,
    /// Let the agent only watch, or let it act; needs root
    ///
    /// In observe mode the agent decides and records but writes no file. The change lasts until the
    /// agent restarts; the config decides what it starts with.
    #[command(after_help = "Example: berth mode observe    (stop all writing, now)")]
    Mode {
        #[arg(value_enum)]
        mode: ModeArg,
    },
    /// Print the completion script for a shell
    #[command(after_help = "Example: berth completion bash > /etc/bash_completion.d/berth")]
    Completion {
        #[arg(value_enum, value_name = "SHELL", value_parser = supported_shell)]
        shell: Shell,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopologyFormat {
    #[default]
    Tree,
    Json,
    Dot,
    Svg,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct TopArgs {
    /// Print one frame as text and leave
    #[arg(long)]
    pub(crate) once: bool,
    /// What to sort by
    #[arg(long, value_enum, default_value_t)]
    pub(crate) sort: SortKey,
    /// Only workloads whose name, QoS level or pool contains this
    #[arg(long, default_value = "", value_name = "TEXT", hide_default_value = true)]
    pub(crate) filter: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeArg {
    Observe,
    Enforce,
}

/// clap_complete knows more shells than we test.
fn supported_shell(text: &str) -> Result<Shell, String> {
    match text {
        "bash" => Ok(Shell::Bash),
        "zsh" => Ok(Shell::Zsh),
        "fish" => Ok(Shell::Fish),
        _ => Err("one of bash, zsh, fish".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::exit::Exit;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[track_caller]
    fn check(line: &str, expect: Option<Exit>) {
        let exit = match Cli::try_parse_from(line.split(' ')) {
            Ok(_) => None,
            Err(error) => Some(Exit::of_parse(&error)),
        };
        assert_eq!(exit, expect, "{line}");
    }

    #[test]
    fn command_lines() {
        check("berth top", None);
        check("berth -o json --socket /x qos", None);
        check("berth decisions -n 3 --follow -o wide", None);
        check("berth completion fish", None);
        check("berth topology --format svg", None);
        check("berth topology --format png", Some(Exit::BadInput));
        check("berth health", None);
        check("berth explain", Some(Exit::Usage));
        check("berth explain web -o json", None);
        check("berth --help", Some(Exit::Ok));
        check("berth --version", Some(Exit::Ok));
        check("berth", Some(Exit::Usage));
        check("berth why-slow", Some(Exit::Usage));
        check("berth frobnicate", Some(Exit::Usage));
        check("berth decisions -n many", Some(Exit::BadInput));
        check("berth mode enforced", Some(Exit::BadInput));
        check("berth completion powershell", Some(Exit::BadInput));
        check("berth -o yaml qos", Some(Exit::BadInput));
    }
}
