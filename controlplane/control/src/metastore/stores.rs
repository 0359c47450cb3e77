//! Several stores in one process, for many small clusters: each has a port, a log, revisions, leases, limits and alarms of its own, and
//! nothing of one is seen or felt in another. Owns which stores there are, by a file, and that one that ends is opened again; what a store
//! is, is the metastore's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use metastore::service;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{Instrument as _, error, error_span, info, warn};

use super::args::Args;
use super::config_file::{self, Setting};
use super::{ALTERNATIVES, deps, names_but, parsed};

/// The section of what all have.
const ALL: &str = "*";
/// What is said once for the process, or follows from the name of a store. Nodes report into a store that has a process of its own.
const NOT_OF_ONE: [&str; 14] = [
    "help",
    "config-file",
    "stores-file",
    "data-dir",
    "engine",
    "name",
    "worker-threads",
    "listen-report-url",
    "report-ca-file",
    "report-cluster",
    "report-interval",
    "node-report-min-interval",
    "node-report-max-bytes",
    "node-report-pods",
];
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between the end of a store and its next start.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The stores that a file names.
#[derive(Debug)]
pub(super) struct Stores {
    file: PathBuf,
    folder: PathBuf,
    /// As it was when it was last acted upon.
    text: String,
    /// As it was at the last look.
    seen: String,
    wanted: BTreeMap<String, Vec<OsString>>,
}

/// One that is kept open.
struct Running {
    words: Vec<OsString>,
    stop: watch::Sender<bool>,
    keeping: JoinHandle<()>,
}

impl Stores {
    pub(super) fn read(file: &Path, folder: PathBuf) -> Result<Stores, String> {
        let at = |why: String| format!("--stores-file {}: {why}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| at(error.to_string()))?;
        let wanted = wanted(&text, &folder).map_err(at)?;
        Ok(Stores { file: file.to_owned(), folder, seen: text.clone(), text, wanted })
    }

    /// Until `shutdown`; then all are closed.
    pub(super) async fn keep(mut self, shutdown: impl Future<Output = ()>) -> Result<(), String> {
        std::fs::create_dir_all(&self.folder)
            .map_err(|error| format!("--data-dir {}: {error}", self.folder.display()))?;
        let mut running = BTreeMap::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            self.adjust(&mut running).await;
            tokio::select! {
                () = &mut shutdown => break,
                () = tokio::time::sleep(LOOK_EVERY) => self.look_again(),
            }
        }
        for one in running.values() {
            one.stop.send_replace(true);
        }
        for one in running.into_values() {
            one.end().await;
        }
        Ok(())
    }

    /// A file that cannot be used changes nothing, and is told of once. One that is being written is waited for: half of it would end stores.
    fn look_again(&mut self) {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let is_settled = text == self.seen;
        self.seen = text;
        if !is_settled || self.seen == self.text {
            return;
        }
        self.text.clone_from(&self.seen);
        match wanted(&self.text, &self.folder) {
            Ok(wanted) => self.wanted = wanted,
            Err(why) => warn!(file = %self.file.display(), why, "The stores stay as they are"),
        }
    }

    /// Stores that are not wanted any more, or otherwise, end first: another one may want their port.
    async fn adjust(&self, running: &mut BTreeMap<String, Running>) {
        let is_over = |name: &String, one: &mut Running| {
            self.wanted.get(name) != Some(&one.words) || one.keeping.is_finished()
        };
        for (name, one) in running.extract_if(.., is_over) {
            info!(store = name, "This store is not wanted any more, or not as it is");
            one.end().await;
        }
        for (name, words) in &self.wanted {
            if !running.contains_key(name) {
                running.insert(name.clone(), Running::begin(name, words));
            }
        }
    }
}

impl Running {
    fn begin(name: &str, words: &[OsString]) -> Running {
        let (stop, stopping) = watch::channel(false);
        let words = words.to_vec();
        let keeping = keep_open(words.clone(), stopping);
        let keeping = keeping.instrument(error_span!("store", name));
        Running { words, stop, keeping: tokio::spawn(keeping) }
    }

    /// Returns when it is closed.
    async fn end(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.keeping.await {
            error!(%error, "A store has not ended in order");
        }
    }
}

/// The stores of a file with the flags of each, which were looked at once.
fn wanted(text: &str, folder: &Path) -> Result<BTreeMap<String, Vec<OsString>>, String> {
    let mut sections = config_file::parse_each(text, &names_but(&NOT_OF_ONE))?;
    let of_all = sections.remove(ALL).unwrap_or_default();
    let mut urls: BTreeMap<String, String> = BTreeMap::new();
    let mut wanted = BTreeMap::new();
    for (name, own) in sections {
        let at = |why: String| format!("{name}: {why}");
        check_name(&name)?;
        let words = words(&name, folder, &own, &of_all);
        let args = parsed(words.clone()).map_err(at)?;
        args.config().map_err(at)?;
        if !own.iter().any(|one| ["listen-client-urls", "port"].contains(&one.key.as_str())) {
            return Err(at("it has no listen-client-urls of its own".to_owned()));
        }
        for url in args.client_urls() {
            if let Some(other) = urls.insert(url.clone(), name.clone()) {
                return Err(at(format!("{url} is {other}'s already")));
            }
        }
        wanted.insert(name, words);
    }
    if wanted.is_empty() {
        return Err("it names no store".to_owned());
    }
    Ok(wanted)
}

fn words(name: &str, folder: &Path, own: &[Setting], of_all: &[Setting]) -> Vec<OsString> {
    let mut line = vec![
        OsString::from("--data-dir"),
        folder.join(name).into(),
        OsString::from("--name"),
        name.into(),
    ];
    line.extend(own.iter().map(Setting::word));
    config_file::with_command_line(of_all, &line, &ALTERNATIVES)
}

/// It becomes a folder beside others.
fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "-_.".contains(one);
    let is_good = !name.is_empty() && name.len() <= 63 && !name.starts_with('.');
    if is_good && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no name of a store: 1 to 63 letters, digits, -, _ and . , the first no ."
    ))
}

/// A store whose log takes no more writes is opened again after a while, as a process would be that was started again; the others go on.
async fn keep_open(words: Vec<OsString>, mut stopping: watch::Receiver<bool>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let began = Instant::now();
        match open(&words, stopping.clone()).await {
            Ok(()) => return,
            Err(why) => error!(why, pause_ms = pause.as_millis(), "The store has ended"),
        }
        if began.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        tokio::select! {
            () = stopped(&mut stopping) => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}

async fn open(words: &[OsString], mut stopping: watch::Receiver<bool>) -> Result<(), String> {
    let args: Args = parsed(words.to_vec())?;
    let config = args.config()?;
    let (deps, _tasks) = deps(&args).await?;
    info!(urls = ?args.client_urls(), "Clients are listened to");
    let served = service::run(config, deps, stopped(&mut stopping)).await;
    served.map_err(|error| kit::chain(&error).to_string())
}

async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // Whoever can say so is gone only when the process ends.
    let _ = stopping.wait_for(|is_over| *is_over).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let wanted = wanted(text, Path::new("/data"));
        match (&wanted, expected) {
            (Ok(wanted), Ok(expected)) => {
                let lines = wanted.values().map(|words| words.join(std::ffi::OsStr::new(" ")));
                let lines: Vec<String> = lines.map(|line| line.into_string().unwrap()).collect();
                assert_eq!(lines.join("\n"), expected, "{text}");
            }
            (Err(said), Err(told)) => assert!(said.contains(told), "{text}: {said}"),
            _ => panic!("{text}: {wanted:?}"),
        }
    }

    #[test]
    fn each_section_is_a_store() {
        check(
            "a: {port: 1}\nb: {listen-client-urls: http://127.0.0.1:2}",
            Ok("--data-dir /data/a --name a --port=1\n\
                --data-dir /data/b --name b --listen-client-urls=http://127.0.0.1:2"),
        );
        check(
            "'*': {quota-backend-bytes: 5, max-txn-ops: 7}\na: {port: 1, max-txn-ops: 9}",
            Ok("--quota-backend-bytes=5 --data-dir /data/a --name a --max-txn-ops=9 --port=1"),
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_the_store() {
        check("a: {max-txn-ops: 1}", Err("a: it has no listen-client-urls of its own"));
        check("a:", Err("a: it has no listen-client-urls of its own"));
        check("'*': {port: 1}\na: {}", Err("a: it has no listen-client-urls of its own"));
        check("a: {port: 1}\nb: {port: 1}", Err("b: http://0.0.0.0:1 is a's already"));
        check("a: {port: x}", Err("a: "));
        check("a: {prot: 1}", Err("a: there is no key \"prot\""));
        check("a: {port: 1, data-dir: /etc}", Err("a: there is no key \"data-dir\""));
        check("a: {port: 1, engine: 'memory://'}", Err("a: there is no key \"engine\""));
        check("a: {port: 1, listen-report-url: http://127.0.0.1:1}", Err("listen-report-url"));
        check("../a: {port: 1}", Err("is no name of a store"));
        check(".a: {port: 1}", Err("is no name of a store"));
        check("a b: {port: 1}", Err("is no name of a store"));
        check("", Err(""));
        check("'*': {max-txn-ops: 1}", Err("it names no store"));
        check("a: 5", Err(""));
        check("- a", Err(""));
        check("a: {auto-compaction-retention: 1.5.2, port: 1}", Err("a: "));
    }
}
