//! What one transaction did, as watchers hear of it. Owns the event and its bytes, which are made once for all watchers; who hears it is
//! the hub's.

use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use proto::etcd::mvccpb::event::EventType;
use proto::etcd::mvccpb::{Event, KeyValue};

use crate::mvcc::{Revision, Version};
use crate::txn::key_value;

/// All writes of one revision, in their order.
#[derive(Debug)]
pub struct Happening {
    pub revision: Revision,
    pub events: Vec<Happened>,
}

/// One write of one key.
#[derive(Debug)]
pub struct Happened {
    pub key: Bytes,
    pub version: Version,
    /// Empty for a deletion.
    pub value: Bytes,
    /// What the key was before; `None` where it was not there.
    pub previous: Option<Version>,
    /// As field `events` of a response: without and with what was before.
    encoded: [OnceLock<Bytes>; 2],
}

/// Field 11 of `WatchResponse`, a message.
const EVENTS_TAG: u32 = 11 << 3 | 2;

impl Happening {
    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let of = |one: &Happened| one.key.len() + one.value.len() + size_of::<Happened>();
        self.events.iter().map(of).sum()
    }
}

impl Happened {
    pub fn new(key: Bytes, version: Version, value: Bytes, previous: Option<Version>) -> Happened {
        Happened { key, version, value, previous, encoded: Default::default() }
    }

    /// The bytes of the event in a response, made once. `previous` reads the value before, and is asked only for who wants it.
    pub fn encoded<E>(
        &self,
        with_previous: bool,
        previous: impl FnOnce(&Version) -> Result<Bytes, E>,
    ) -> Result<Bytes, E> {
        let slot = &self.encoded[usize::from(with_previous)];
        if let Some(bytes) = slot.get() {
            return Ok(bytes.clone());
        }
        let prev_kv = match self.previous.filter(|_| with_previous) {
            Some(version) => Some(key_value(&self.key, &version, previous(&version)?)),
            None => None,
        };
        let bytes = field(&self.event(prev_kv));
        Ok(slot.get_or_init(|| bytes).clone())
    }

    /// A deletion has only its key and its revision.
    fn event(&self, prev_kv: Option<KeyValue>) -> Event {
        let kind = if self.version.is_deletion() { EventType::Delete } else { EventType::Put };
        let kv = Some(key_value(&self.key, &self.version, self.value.clone()));
        let kv = kv.map(|kv| match kind {
            EventType::Delete => {
                KeyValue { key: kv.key, mod_revision: kv.mod_revision, ..KeyValue::default() }
            }
            EventType::Put => kv,
        });
        Event { r#type: kind.into(), kv, prev_kv }
    }
}

fn field(event: &Event) -> Bytes {
    let length = event.encoded_len();
    let mut bytes = BytesMut::with_capacity(length + 8);
    prost::encoding::encode_varint(EVENTS_TAG.into(), &mut bytes);
    prost::encoding::encode_varint(length as u64, &mut bytes);
    event.encode_raw(&mut bytes);
    bytes.freeze()
}
