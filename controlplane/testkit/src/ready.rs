//! Waiting: for a server until it says that it is ready, for a condition until it holds. Every wait has a limit and says what
//! it waited for; the only pause is the one between two questions.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hyper::Request;
use kube::Client;

use crate::process::Process;

/// Four times what the slowest server takes on two busy cores.
const LIMIT: Duration = Duration::from_secs(180);
/// A server that accepts and does not answer is asked again.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// Short beside a start of seconds; twenty questions a second cost nothing.
const PAUSE: Duration = Duration::from_millis(50);

/// Asks `path` until the answer is a success. A server that ends instead is an error at once.
pub(crate) async fn wait(process: &mut Process, client: &Client, path: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        if let Some(status) = process.ended()? {
            let log = process.end_of_log();
            bail!(
                "{} ended with {status} before it was ready; its log ends with\n{log}",
                process.name()
            );
        }
        let Err(error) = ask(client, path).await else { return Ok(()) };
        if began.elapsed() > LIMIT {
            let name = process.name();
            let log = process.end_of_log();
            return Err(error).with_context(|| {
                format!("{name} is not ready after {LIMIT:?}; its log ends with\n{log}")
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(client: &Client, path: &str) -> anyhow::Result<()> {
    let request = Request::get(path).body(Vec::new()).with_context(|| format!("ask {path}"))?;
    let answer = tokio::time::timeout(ANSWER_LIMIT, client.request_text(request)).await;
    answer
        .with_context(|| format!("no answer to {path} in {ANSWER_LIMIT:?}"))?
        .with_context(|| format!("ask {path}"))
        .map(drop)
}

/// Asks until the answer is `Some`. An error is an answer too: it ends the wait.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut question: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        if let Some(answer) = question().await.with_context(|| format!("wait for {what}"))? {
            return Ok(answer);
        }
        if began.elapsed() > limit {
            bail!("waited {limit:?} for {what}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}
