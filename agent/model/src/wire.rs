//! Temporary.
use crate::decision::Decision;
use crate::plan::Plan;
pub fn plan_json(_p: &Plan) -> Vec<u8> {
    Vec::new()
}
pub fn plan_from_json(_b: &[u8]) -> Result<Plan, std::fmt::Error> {
    Err(std::fmt::Error)
}
pub fn decision_json(d: &Decision) -> String {
    format!(
        "{{\"at\":{},\"rule\":\"{}\",\"subject\":\"{}\",\"result\":\"{}\",\"inputs\":{{{}}}}}",
        d.at.0,
        d.rule,
        d.subject,
        d.result,
        d.inputs.iter().map(|(k, v)| format!("\"{k}\":\"{v}\"")).collect::<Vec<_>>().join(",")
    )
}
