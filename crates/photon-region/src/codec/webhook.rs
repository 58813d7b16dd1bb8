//! The binary form of webhooks, on links and in the log.
//! Must not know what a target says.

use std::sync::Arc;

use bytes::Bytes;
use photon_state::codec::{DecodeError, Reader, Writer};

use crate::webhooks::{Mark, Secret, Webhook};

/// Encodes what the record of a webhook holds; the name is in its key.
pub(crate) fn encode_webhook(webhook: &Webhook) -> Bytes {
    let mut writer = Writer::default();
    write_content(&mut writer, webhook);
    writer.into_bytes()
}

/// Decodes what the record of a webhook holds.
pub(crate) fn decode_webhook(id: &Arc<str>, bytes: &[u8]) -> Result<Webhook, DecodeError> {
    let mut reader = Reader::new(bytes);
    let webhook = read_content(&mut reader, id.clone())?;
    reader.end()?;
    Ok(webhook)
}

/// Encodes up to where a webhook was told.
pub(crate) fn encode_told(upto: Mark) -> Bytes {
    let mut writer = Writer::default();
    write_mark(&mut writer, upto);
    writer.into_bytes()
}

/// Decodes up to where a webhook was told.
pub(crate) fn decode_told(bytes: &[u8]) -> Result<Mark, DecodeError> {
    let mut reader = Reader::new(bytes);
    let upto = read_mark(&mut reader)?;
    reader.end()?;
    Ok(upto)
}

pub(super) fn write_webhook(writer: &mut Writer, webhook: &Webhook) {
    writer.text(&webhook.id);
    write_content(writer, webhook);
}

pub(super) fn read_webhook(reader: &mut Reader<'_>) -> Result<Webhook, DecodeError> {
    let id = read_webhook_id(reader)?;
    read_content(reader, id)
}

/// Reads the name of a webhook: a longer one could be no part of a key.
pub(super) fn read_webhook_id(reader: &mut Reader<'_>) -> Result<Arc<str>, DecodeError> {
    let id = reader.text()?;
    if Webhook::ID_BYTES_MAX < id.len() {
        return Err(reader.malformed("name of a webhook"));
    }
    Ok(id.into())
}

fn write_content(writer: &mut Writer, webhook: &Webhook) {
    write_mark(writer, webhook.since);
    writer.bytes(&webhook.target.0);
    writer.bytes(&webhook.credentials.0);
}

fn read_content(reader: &mut Reader<'_>, id: Arc<str>) -> Result<Webhook, DecodeError> {
    let since = read_mark(reader)?;
    let (target, credentials) = (Secret(reader.owned()?), Secret(reader.owned()?));
    Ok(Webhook { id, target, credentials, since })
}

pub(super) fn write_mark(writer: &mut Writer, mark: Mark) {
    writer.uint(mark.epoch.into());
    writer.uint(mark.generation);
}

pub(super) fn read_mark(reader: &mut Reader<'_>) -> Result<Mark, DecodeError> {
    Ok(Mark { epoch: reader.uint32()?, generation: reader.uint()? })
}
