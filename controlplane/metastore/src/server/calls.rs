//! The calls of one connection run in the connection's own task, not in a task each. A group of writes answers many calls of a connection at
//! once: they are all looked at before the connection is, which then sends what they have to say with one write to the kernel. In tasks of
//! their own each would wake the connection, which would run before the next of them and send one answer at a time. Connections still run
//! beside each other on as many threads as there are.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

type Call = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a connection puts the calls that it reads: its executor.
#[derive(Clone, Default)]
pub(super) struct Begun(Arc<Mutex<Vec<Call>>>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Begun {
    fn execute(&self, call: F) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(call));
    }
}

/// Those of one connection that go on.
#[derive(Default)]
pub(super) struct Calls {
    pub(super) begun: Begun,
    running: FuturesUnordered<Call>,
}

impl Calls {
    /// Runs a connection with its calls until it ends.
    pub(super) async fn run<C: Future>(&mut self, mut connection: Pin<&mut C>) -> C::Output {
        poll_fn(|context| self.poll(connection.as_mut(), context)).await
    }

    fn poll<C: Future>(
        &mut self,
        connection: Pin<&mut C>,
        context: &mut Context<'_>,
    ) -> Poll<C::Output> {
        self.go_on(context);
        if let Poll::Ready(ended) = connection.poll(context) {
            return Poll::Ready(ended);
        }
        let begun = {
            let mut begun = self.begun.0.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *begun)
        };
        if !begun.is_empty() {
            self.running.extend(begun);
            // Whoever has an answer at once wakes the connection for it.
            self.go_on(context);
        }
        Poll::Pending
    }

    fn go_on(&mut self, context: &mut Context<'_>) {
        while let Poll::Ready(Some(())) = self.running.poll_next_unpin(context) {}
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use hyper::rt::Executor as _;
    use tokio::sync::oneshot;

    use super::*;

    /// A connection that begins three calls when it is first looked at, and ends when all have said that they are over.
    #[tokio::test]
    async fn calls_are_run_before_their_connection_is_looked_at_again() {
        let mut calls = Calls::default();
        let begun = calls.begun.clone();
        let n_over = Arc::new(AtomicUsize::new(0));
        let mut senders = Vec::new();
        let mut receivers = Vec::new();
        for _ in 0..3 {
            let (sender, receiver) = oneshot::channel::<()>();
            senders.push(sender);
            receivers.push(receiver);
        }
        let mut seen = Vec::new();
        let connection = poll_fn(|_| {
            for receiver in receivers.drain(..) {
                let n_over = Arc::clone(&n_over);
                begun.execute(async move {
                    let _ = receiver.await;
                    n_over.fetch_add(1, Ordering::Relaxed);
                });
            }
            seen.push(n_over.load(Ordering::Relaxed));
            if seen.last() == Some(&3) { Poll::Ready("over") } else { Poll::Pending }
        });
        let mut connection = pin!(connection);
        let answers = async {
            tokio::task::yield_now().await;
            for sender in senders {
                sender.send(()).unwrap();
            }
            pending::<()>().await;
        };
        tokio::select! {
            biased;
            ended = calls.run(connection.as_mut()) => assert_eq!(ended, "over"),
            () = answers => {}
        }
        // It is looked at for other reasons too, and never between two answers that came together.
        assert!(seen.iter().all(|n| [0, 3].contains(n)), "{seen:?}");
    }

    /// What nobody can be told of any more is not done.
    #[tokio::test]
    async fn calls_end_with_their_connection() {
        let mut calls = Calls::default();
        let (guard, watched) = oneshot::channel::<()>();
        calls.begun.execute(async move {
            let _guard = guard;
            pending::<()>().await;
        });
        calls.run(pin!(async {})).await;
        drop(calls);
        watched.await.unwrap_err();
    }
}
