//! What a client asks of alarms: which are raised, raise one, take one back. There is NOSPACE; a store that finds its own values unreadable
//! answers that where they are read, and nobody can declare it.

use proto::etcd::etcdserverpb::alarm_request::AlarmAction;
use proto::etcd::etcdserverpb::{AlarmMember, AlarmRequest, AlarmType};
use tonic::Status;

use crate::store::Store;

/// The members that an answer names.
pub(super) async fn answer(
    store: &Store,
    request: AlarmRequest,
) -> Result<Vec<AlarmMember>, Status> {
    let is_asked = matches!(request.alarm(), AlarmType::None | AlarmType::Nospace);
    let is_this = request.member_id == 0 || request.member_id == store.identity.member;
    let has_alarm = match request.action() {
        AlarmAction::Get => is_asked && store.no_space().is_some(),
        AlarmAction::Activate if request.alarm() == AlarmType::Corrupt => {
            let why = "etcdserver: this store raises no alarm CORRUPT";
            return Err(Status::unimplemented(why));
        }
        // Nothing is named, as in etcd.
        _ if request.alarm() != AlarmType::Nospace || !is_this => false,
        AlarmAction::Activate => {
            store.raise_no_space().await?;
            true
        }
        AlarmAction::Deactivate => store.disarm().await?,
    };
    let member = AlarmMember { member_id: store.identity.member, alarm: AlarmType::Nospace.into() };
    Ok(if has_alarm { vec![member] } else { Vec::new() })
}
