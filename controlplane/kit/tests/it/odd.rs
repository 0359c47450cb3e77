//! A server that is slow or lies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proto::v1;
use proto::v1::node_reporting_server::NodeReporting;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// Answers what `answer` makes of the sequence, after a delay.
pub(crate) struct Odd {
    pub(crate) delay: Duration,
    pub(crate) answer: fn(u64) -> u64,
    pub(crate) n_full: Arc<AtomicU64>,
    pub(crate) n_reports: Arc<AtomicU64>,
}

#[tonic::async_trait]
impl NodeReporting for Odd {
    type ReportStream = ReceiverStream<Result<v1::NodeDirective, Status>>;

    async fn report(
        &self,
        request: Request<Streaming<v1::NodeReport>>,
    ) -> Result<Response<Self::ReportStream>, Status> {
        let (to_node, directives) = mpsc::channel(1);
        let (delay, answer) = (self.delay, self.answer);
        let (n_full, n_reports) = (Arc::clone(&self.n_full), Arc::clone(&self.n_reports));
        let mut reports = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(report)) = reports.message().await {
                n_reports.fetch_add(1, Ordering::Relaxed);
                if matches!(report.content, Some(v1::node_report::Content::Full(_))) {
                    n_full.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(delay).await;
                let acknowledged = answer(report.sequence);
                let directive = v1::NodeDirective { acknowledged, ..Default::default() };
                if to_node.send(Ok(directive)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(directives)))
    }
}
