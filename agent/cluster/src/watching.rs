//! What a broken watch says of itself. Owns the one sentence, and which refusals are for ever.

use kube::core::Status;
use kube::runtime::watcher::Error;

/// The error and its causes, each once: some of the library's errors have their causes in their own words already.
pub(crate) fn fault(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

/// An apiserver whose gate `WatchList` is off takes no list as a stream: 422, or 400 by one that has never heard of it.
pub(crate) fn has_no_streams(error: &Error) -> bool {
    let refused = |status: &Status| matches!(status.code, 400 | 422);
    match error {
        Error::WatchStartFailed(kube::Error::Api(status)) => refused(status),
        Error::WatchError(status) => refused(status),
        _ => false,
    }
}
