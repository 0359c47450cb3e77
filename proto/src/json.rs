//! How protobuf enums look in JSON: the short lower-case name (`"enforce"`), not the number.
//! Only for what the CLI prints; nothing reads it back.

use serde::Serializer;

use crate::v1::{CauseKind, CheckStatus, FullReason, Mode, Severity, SignalState};

/// Writes the name of an enum value without the prefix its type puts before every value. A number
/// that this build does not know (a newer agent) is written as a number.
macro_rules! enum_name {
    ($function:ident, $enum:ty, $prefix:literal) => {
        pub(crate) fn $function<S: Serializer>(value: &i32, to: S) -> Result<S::Ok, S::Error> {
            match <$enum>::try_from(*value) {
                Ok(known) => {
                    let name = known.as_str_name();
                    to.serialize_str(&name.trim_start_matches($prefix).to_ascii_lowercase())
                }
                Err(_) => to.serialize_i32(*value),
            }
        }
    };
}

enum_name!(mode, Mode, "MODE_");
enum_name!(severity, Severity, "SEVERITY_");
enum_name!(signal_state, SignalState, "SIGNAL_STATE_");
enum_name!(cause_kind, CauseKind, "CAUSE_KIND_");
enum_name!(check_status, CheckStatus, "CHECK_STATUS_");
enum_name!(full_reason, FullReason, "FULL_REASON_");

#[cfg(test)]
mod tests {
    use crate::v1::{Check, CheckStatus, SetModeReply};

    #[track_caller]
    fn check(value: &impl serde::Serialize, expect: &str) {
        assert_eq!(serde_json::to_string(value).expect("plain values"), expect);
    }

    #[test]
    fn enums_are_names_and_what_is_not_known_is_a_number() {
        let row =
            Check { name: "btf".into(), status: CheckStatus::Warn.into(), ..Check::default() };
        check(&row, r#"{"name":"btf","status":"warn","detail":"","fix":""}"#);
        check(&SetModeReply { mode: 2, previous: 77 }, r#"{"mode":"enforce","previous":77}"#);
        check(&SetModeReply::default(), r#"{"mode":"unspecified","previous":"unspecified"}"#);
    }

    #[test]
    fn a_missing_value_is_null_not_zero() {
        let max = crate::v1::CpuMax { quota_us: None, period_us: 100_000 };
        check(&max, r#"{"quota_us":null,"period_us":100000}"#);
    }
}
