//! A record as JSON: what each type looks like.
//! Must not know who asked for it.

use std::collections::BTreeMap;

use bytes::Bytes;
use photon_region::data::{Content, Kind, Shown};
use photon_state::crdt::Version;
use serde_json::Value;

use super::content::{self, Kept};
use super::document;
use crate::v1::types::{Etag, Raw, Record};

/// Writes a record, without what belongs to the reply.
pub(super) fn record(key: String, kind: Kind, shown: &Shown) -> Record {
    let blank = Record {
        key,
        kind: kind.into(),
        etag: Etag(shown.fingerprint),
        placement: shown.placement.to_string(),
        also_in: (!shown.also_in.is_empty())
            .then(|| shown.also_in.iter().map(ToString::to_string).collect()),
        value: None,
        values: None,
        value_base64: None,
        media_type: None,
        rights_here: None,
        elements: None,
        fields: None,
        document: None,
        conflict: None,
        conflicts: None,
        region: None,
        staleness_ms: None,
        durable_in: None,
        of: None,
        session: None,
    };
    match &shown.content {
        Content::Number(sum) => Record { value: Some(number(*sum)), ..blank },
        Content::Quota { value, rights } => {
            Record { value: Some(number(*value)), rights_here: Some(*rights), ..blank }
        }
        Content::Fields(fields) => match kind {
            Kind::Set => Record { elements: Some(elements(fields)), ..blank },
            Kind::Map => {
                let shown = fields.iter().filter_map(|(field, all)| {
                    Some((name(field), content::json(&all.last()?.written.bytes)))
                });
                let (conflict, conflicts) = conflicts(fields);
                Record { fields: Some(shown.collect()), conflict, conflicts, ..blank }
            }
            Kind::Document => {
                let leaves = fields.iter().filter_map(|(field, all)| Some((field, all.last()?)));
                let document = Some(content::json(&document::unflatten(leaves)));
                let (conflict, conflicts) = conflicts(fields);
                Record { document, conflict, conflicts, ..blank }
            }
            Kind::Register | Kind::Counter | Kind::BoundedCounter => register(blank, fields),
        },
    }
}

fn register(blank: Record, fields: &[(Bytes, Vec<Version>)]) -> Record {
    let versions = fields.first().map(|(_, all)| all.as_slice()).unwrap_or_default();
    match versions {
        [] => blank,
        [one] => match content::read(&one.written.bytes) {
            Kept::Json(text) => Record { value: Some(content::json(text)), ..blank },
            Kept::Opaque { media_type, bytes } => Record {
                value_base64: Some(content::base64(bytes)),
                media_type: Some(media_type.to_owned()),
                ..blank
            },
        },
        several => {
            let values = several.iter().map(|it| content::any_json(&it.written.bytes));
            Record { values: Some(values.collect()), conflict: Some(true), ..blank }
        }
    }
}

fn elements(fields: &[(Bytes, Vec<Version>)]) -> Vec<Raw<Value>> {
    fields.iter().map(|(field, _)| content::json(field)).collect()
}

/// Fields that are shown with all their writes, because all are kept.
type Several = Option<BTreeMap<String, Vec<Raw<Value>>>>;

fn conflicts(fields: &[(Bytes, Vec<Version>)]) -> (Option<bool>, Several) {
    let several = fields.iter().filter(|(_, all)| 1 < all.len()).map(|(field, all)| {
        (name(field), all.iter().map(|it| content::json(&it.written.bytes)).collect())
    });
    let several: BTreeMap<_, _> = several.collect();
    if several.is_empty() { (None, None) } else { (Some(true), Some(several)) }
}

/// Returns a name that came from here, so that it is text.
pub(super) fn name(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn number(number: i128) -> Raw<Value> {
    content::json(number.to_string().as_bytes())
}
