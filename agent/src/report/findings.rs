//! What a person is told of an endpoint. Pure.

use model::Timestamp;
use model::plan::{Finding, Severity};

use super::dial::Ended;
use super::talk::Talk;

/// Of one endpoint; `ended` is how its last connection ended, unless one is open that works.
pub(super) fn findings(
    endpoint: &str,
    talk: &Talk,
    ended: Option<&Ended>,
    now: Timestamp,
) -> Vec<Finding> {
    let finding = |message| Finding {
        severity: Severity::Warning,
        rule: "report-not-delivered",
        subject: endpoint.to_owned(),
        message,
    };
    let why = ended.map(|ended| kit::chain(ended).to_string());
    let refused = ended.filter(|ended| ended.is_refusal()).and(why.as_ref());
    let refused = refused.map(|why| {
        let message = format!("the control plane does not take our reports: {why}");
        Finding { rule: "report-refused", ..finding(message) }
    });
    let silent = talk.silent_for(now).map(|silence| {
        let why =
            why.as_deref().unwrap_or("the connection is open, but no report was acknowledged");
        let message = format!("no report arrived for {} s: {why}", silence.0 / 1_000_000_000);
        finding(message)
    });
    let policy = talk.refused_policy().map(|_document| {
        let message = "it sent a policy document, which is not followed: policy comes from this \
                       agent's configuration file only";
        Finding { rule: "policy-document-refused", ..finding(message.to_owned()) }
    });
    [refused, silent, policy].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};
    use model::Nanos;
    use proto::v1::{NodeDirective, NodeIdentity, PolicyDocument};
    use tonic::{Code, Status};

    use super::*;
    use crate::report::talk::Seen;

    fn at(second: u64) -> Timestamp {
        Timestamp(0).after(Nanos::from_secs(second))
    }

    #[track_caller]
    fn check(talk: &Talk, ended: Option<&Ended>, second: u64, expect: Expect) {
        let found = findings("https://h", talk, ended, at(second));
        let lines: Vec<_> = found
            .iter()
            .map(|it| format!("{} {}: {}\n", it.rule, it.subject, it.message))
            .collect();
        expect.assert_eq(&lines.concat());
    }

    #[test]
    fn refusals_are_told_at_once_and_silence_after_a_while() {
        let talk = Talk::new(NodeIdentity::default(), Nanos::from_secs(5), at(0));
        let denied = Ended::from(Status::permission_denied("this peer is node n2"));
        let away = Ended::from(Status::new(Code::Unavailable, "shutting down"));
        check(&talk, None, 30, expect![[""]]);
        check(&talk, Some(&away), 30, expect![[""]]);
        check(
            &talk,
            Some(&denied),
            1,
            expect![[r#"
            report-refused https://h: the control plane does not take our reports: PermissionDenied: this peer is node n2
        "#]],
        );
        check(
            &talk,
            Some(&away),
            31,
            expect![[r#"
            report-not-delivered https://h: no report arrived for 31 s: Unavailable: shutting down
        "#]],
        );
        check(
            &talk,
            Some(&denied),
            31,
            expect![[r#"
            report-refused https://h: the control plane does not take our reports: PermissionDenied: this peer is node n2
            report-not-delivered https://h: no report arrived for 31 s: PermissionDenied: this peer is node n2
        "#]],
        );
        check(
            &talk,
            None,
            31,
            expect![[r#"
            report-not-delivered https://h: no report arrived for 31 s: the connection is open, but no report was acknowledged
        "#]],
        );
    }

    #[test]
    fn a_policy_document_is_told_of_without_its_content() {
        let mut talk = Talk::new(NodeIdentity::default(), Nanos::from_secs(5), at(0));
        talk.open(at(0));
        let state = std::sync::Arc::default();
        talk.report(at(0), Seen { state, decisions: Vec::new(), n_lost_decisions: 0 });
        let document = PolicyDocument { sha256: vec![1], document: b"secret".to_vec() };
        let told =
            NodeDirective { acknowledged: 1, policy: Some(document), ..NodeDirective::default() };
        talk.hear(at(0), &told).expect("a directive");
        check(
            &talk,
            None,
            1,
            expect![[r#"
            policy-document-refused https://h: it sent a policy document, which is not followed: policy comes from this agent's configuration file only
        "#]],
        );
    }
}
