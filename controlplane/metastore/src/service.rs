//! The service as a whole: opens the store, starts what runs beside the clients, and ends in order. Owns threads and timers; what they do
//! is the store's.

mod beside;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tracing::{Instrument as _, Span, error, info};

pub use beside::Allowed;

use crate::engine::log::{LogEngine, LogOptions};
use crate::engine::memory::MemoryEngine;
use crate::engine::{Engine, EngineError};
use crate::grpc::{Services, Settings};
use crate::policy::file::PolicyError;
use crate::reserve::Boot;
use crate::server::tls::Certificates;
use crate::server::{Server, pages};
use crate::store::{Ended, Identity, OpenError, Options, Store};

/// Where a store is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineUrl {
    Log {
        folder: PathBuf,
    },
    /// Forgotten with the process.
    Memory,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub engine: EngineUrl,
    /// The room that is reserved for each file of the log.
    pub segment_bytes: u64,
    /// How much of what happened last is kept in memory for watchers.
    pub recent_bytes: usize,
    pub settings: Settings,
    pub allowed: Allowed,
}

/// What is given to the service.
#[derive(Debug)]
pub struct Deps {
    pub listeners: Vec<Listener>,
    /// Where pages are served and nothing else is.
    pub pages: Vec<TcpListener>,
    /// Is handed the store as soon as it is open: for who works in it beside its clients.
    pub opened: Option<oneshot::Sender<Arc<Store>>>,
}

/// Where clients come in.
#[derive(Debug)]
pub struct Listener {
    pub socket: TcpListener,
    /// `None` is plain HTTP.
    pub certificates: Option<Arc<Certificates>>,
}

#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServiceError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("open the store: {0}")]
    Open(#[from] OpenError),
    #[error(transparent)]
    Policy(#[from] PolicyError),
    #[error("start a thread: {0}")]
    Thread(#[source] io::Error),
    #[error("the log takes no more writes: {0}")]
    Stopped(String),
}

/// Leases end this much late at most.
const EXPIRE_EVERY: Duration = Duration::from_millis(250);
/// Between two looks for something to forget.
const FORGET_EVERY: Duration = Duration::from_millis(50);
/// A tenth of what a thread that clients wait for has beside it.
const UPKEEP_NICE: i32 = 10;

/// Until `shutdown` says so or the log takes no more writes.
pub async fn run(
    config: Config,
    deps: Deps,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServiceError> {
    let opening = config.clone();
    // A long log is read for seconds, and other stores of the process have the same threads.
    let opened = in_span(move || open_store(&opening));
    let opened = tokio::task::spawn_blocking(opened).await;
    let store = opened.map_err(|panic| ServiceError::Stopped(panic.to_string()))??;
    let committed = store.committed();
    info!(revision = committed.revision, keys = committed.index.len(), "The store is open");
    drop(committed);
    beside::prepare(&store, &config)?;
    let mut ended = commit(&store)?;
    let beside = beside::start(&store, &config);
    if let Some(opened) = deps.opened {
        // Who has gone meanwhile does not want it.
        let _ = opened.send(Arc::clone(&store));
    }
    let (stop, stopping) = watch::channel(false);
    let services = Services::new(Arc::clone(&store), config.settings);
    for listener in deps.listeners {
        let Listener { socket, certificates } = listener;
        let server = Server { services: services.clone(), store: Arc::clone(&store), certificates };
        tokio::spawn(server.serve(socket, stopping.clone()).in_current_span());
    }
    for socket in deps.pages {
        let pages = pages::serve(Arc::clone(&store), socket, stopping.clone());
        tokio::spawn(pages.in_current_span());
    }
    let over = keep_up(&store)?;
    let (expiring, forgetting) = (expire(Arc::clone(&store)), forget(Arc::clone(&store)));
    let expiring = tokio::spawn(expiring.in_current_span());
    let forgetting = tokio::spawn(forgetting.in_current_span());
    let told = tokio::select! {
        () = shutdown => None,
        ended = &mut ended => Some(ended),
    };
    over.store(true, Ordering::Relaxed);
    beside.iter().for_each(tokio::task::JoinHandle::abort);
    expiring.abort();
    forgetting.abort();
    store.close();
    let told = match told {
        Some(told) => told,
        None => ended.await,
    };
    // Whoever listens hears that it is over.
    let _ = stop.send(true);
    match told {
        Ok(Ended::Closed) => Ok(store.engine().close()?),
        Ok(Ended::Engine(error)) => Err(ServiceError::Stopped(error.to_string())),
        Ok(Ended::Panicked) | Err(_) => {
            Err(ServiceError::Stopped("a thread panicked in the middle of a change".to_owned()))
        }
    }
}

fn open_store(config: &Config) -> Result<Arc<Store>, ServiceError> {
    let engine = open(config)?;
    let identity = Identity { cluster: 0x00be_27b0, member: 1 };
    let options = Options { identity, recent_bytes: config.recent_bytes, boot: boot() };
    Ok(Arc::new(Store::open(engine, &options)?))
}

/// On another thread, and with the words of this one in its log: which store it is, where a process has several.
fn in_span<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let span = Span::current();
    move || span.in_scope(work)
}

fn open(config: &Config) -> Result<Arc<dyn Engine>, EngineError> {
    match &config.engine {
        EngineUrl::Memory => Ok(Arc::new(MemoryEngine::new())),
        EngineUrl::Log { folder } => {
            let options = LogOptions { segment_bytes: config.segment_bytes };
            let (engine, opened) = LogEngine::open(folder, options)?;
            info!(folder = %folder.display(), ?opened, "The log is open");
            Ok(Arc::new(engine))
        }
    }
}

/// A machine that does not say it is taken for one that has started anew.
fn boot() -> Boot {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    text.map_or(Boot::UNKNOWN, |text| Boot::parse(&text))
}

fn commit(store: &Arc<Store>) -> Result<oneshot::Receiver<Ended>, ServiceError> {
    let (end, ended) = oneshot::channel();
    let store = Arc::clone(store);
    let thread = std::thread::Builder::new().name("metastore-log".to_owned());
    thread
        .spawn(in_span(move || {
            // Whoever waits for it is gone only when the whole service is.
            let _ = end.send(store.commit());
        }))
        .map_err(ServiceError::Thread)?;
    Ok(ended)
}

/// Ends soon after it is told to; nobody waits for it, so that it gives way to those that somebody waits for: a checkpoint is a tenth of a
/// second of a core and more.
fn keep_up(store: &Arc<Store>) -> Result<Arc<AtomicBool>, ServiceError> {
    let over = Arc::new(AtomicBool::new(false));
    let (store, is_over) = (Arc::clone(store), Arc::clone(&over));
    let thread = std::thread::Builder::new().name("metastore-upkeep".to_owned());
    let keep_up = move || {
        // Linux has it by thread. It may not be allowed, and is no need.
        let _ = rustix::process::setpriority_process(None, UPKEEP_NICE);
        store.keep_up(&is_over);
    };
    thread.spawn(in_span(keep_up)).map_err(ServiceError::Thread)?;
    Ok(over)
}

async fn expire(store: Arc<Store>) {
    loop {
        match store.expire() {
            Ok(0) => tokio::time::sleep(EXPIRE_EVERY).await,
            Ok(_) => tokio::task::yield_now().await,
            Err(refusal) => return error!(%refusal, "Leases end no more"),
        }
    }
}

async fn forget(store: Arc<Store>) {
    loop {
        match store.forget_a_part().await {
            Ok(true) => {}
            Ok(false) => tokio::time::sleep(FORGET_EVERY).await,
            Err(_) => return,
        }
    }
}
