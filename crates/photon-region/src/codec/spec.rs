//! The binary form of datasets.
//! Must not decide anything.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use photon_state::PlacementId;
use photon_state::codec::{DecodeError, Reader, Writer};

use super::{read_duration, read_of, write_duration, write_of};
use crate::data::{
    DatasetName, DatasetSpec, Kind, Mode, Outside, PlacementRule, Policy, ReadLevel, WriteLevel,
};

const OUTSIDES: [Outside; 2] = [Outside::Forward, Outside::Refuse];

/// Encodes a dataset as its record holds it.
pub(crate) fn encode_dataset(spec: &DatasetSpec) -> Bytes {
    let mut writer = Writer::default();
    write_spec(&mut writer, spec);
    writer.into_bytes()
}

/// Decodes a dataset.
pub(crate) fn decode_dataset(bytes: &[u8]) -> Result<DatasetSpec, DecodeError> {
    let mut reader = Reader::new(bytes);
    let spec = read_spec(&mut reader)?;
    reader.end()?;
    Ok(spec)
}

pub(super) fn write_spec(writer: &mut Writer, spec: &DatasetSpec) {
    writer.text(spec.name.as_str());
    write_of(writer, &Kind::ALL, &spec.kind);
    match &spec.rule {
        PlacementRule::Fixed(placement) => {
            writer.tag(1);
            writer.text(placement.as_str());
        }
        PlacementRule::ByTenant { tenants, others } => {
            writer.tag(2);
            write_placements(writer, tenants);
            writer.option(*others, |writer, it| writer.text(it.as_str()));
        }
        PlacementRule::ByRecord { attribute, values, others } => {
            writer.tag(3);
            writer.text(attribute);
            write_placements(writer, values);
            writer.option(*others, |writer, it| writer.text(it.as_str()));
        }
    }
    write_of(writer, &OUTSIDES, &spec.outside);
    match spec.mode {
        Mode::MultiMaster => writer.tag(1),
        Mode::SingleMaster { master, elsewhere } => {
            writer.tag(2);
            writer.text(master.as_str());
            write_of(writer, &OUTSIDES, &elsewhere);
        }
        Mode::AsyncMaster { master } => {
            writer.tag(3);
            writer.text(master.as_str());
        }
    }
    match spec.policy {
        Policy::LastWriter => writer.tag(1),
        Policy::KeepAll => writer.tag(2),
        Policy::Highest => writer.tag(3),
        Policy::Lowest => writer.tag(4),
        Policy::Prefer(region) => {
            writer.tag(5);
            writer.text(region.as_str());
        }
    }
    write_of(writer, &WriteLevel::ALL, &spec.write_level);
    write_of(writer, &ReadLevel::ALL, &spec.read_level);
    writer.option(spec.ttl, write_duration);
    // Nothing ever follows a dataset: what is not there was not written, or not yet thought of.
    if spec.retention.is_some() || spec.sensitive_keys {
        writer.option(spec.retention, write_duration);
        writer.tag(u8::from(spec.sensitive_keys));
    }
}

/// Placements by the name of a tenant, or by the value of an attribute.
type Placements = BTreeMap<Arc<str>, PlacementId>;

fn write_placements(writer: &mut Writer, placements: &Placements) {
    writer.uint(placements.len() as u64);
    for (name, placement) in placements {
        writer.text(name);
        writer.text(placement.as_str());
    }
}

fn read_placements(reader: &mut Reader<'_>) -> Result<Placements, DecodeError> {
    (0..reader.count()?).map(|_| Ok((Arc::from(reader.text()?), reader.placement()?))).collect()
}

pub(super) fn read_dataset(reader: &mut Reader<'_>) -> Result<DatasetName, DecodeError> {
    DatasetName::try_from(reader.text()?).map_err(|_| reader.malformed("name of a dataset"))
}

pub(super) fn read_spec(reader: &mut Reader<'_>) -> Result<DatasetSpec, DecodeError> {
    let name = read_dataset(reader)?;
    let kind = read_of(reader, &Kind::ALL, "kind")?;
    let rule = match reader.tag()? {
        1 => PlacementRule::Fixed(reader.placement()?),
        2 => {
            let tenants = read_placements(reader)?;
            PlacementRule::ByTenant { tenants, others: reader.option(Reader::placement)? }
        }
        3 => PlacementRule::ByRecord {
            attribute: reader.text()?.into(),
            values: read_placements(reader)?,
            others: reader.option(Reader::placement)?,
        },
        _ => return Err(reader.malformed("rule")),
    };
    let outside = read_of(reader, &OUTSIDES, "outside")?;
    let mode = match reader.tag()? {
        1 => Mode::MultiMaster,
        2 => Mode::SingleMaster {
            master: reader.region()?,
            elsewhere: read_of(reader, &OUTSIDES, "elsewhere")?,
        },
        3 => Mode::AsyncMaster { master: reader.region()? },
        _ => return Err(reader.malformed("mode")),
    };
    let policy = match reader.tag()? {
        1 => Policy::LastWriter,
        2 => Policy::KeepAll,
        3 => Policy::Highest,
        4 => Policy::Lowest,
        5 => Policy::Prefer(reader.region()?),
        _ => return Err(reader.malformed("policy")),
    };
    let write_level = read_of(reader, &WriteLevel::ALL, "level")?;
    let read_level = read_of(reader, &ReadLevel::ALL, "level")?;
    let ttl = reader.option(read_duration)?;
    let (retention, sensitive_keys) = if reader.is_at_end() {
        (None, false)
    } else {
        (reader.option(read_duration)?, read_of(reader, &[false, true], "flag")?)
    };
    Ok(DatasetSpec {
        name,
        kind,
        rule,
        outside,
        mode,
        policy,
        write_level,
        read_level,
        ttl,
        retention,
        sensitive_keys,
    })
}
