//! Datasets and their records in stories: declared, written, read, put into words.
//! Must not know what the stories are about.

#![allow(dead_code, reason = "no story needs all of it")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use photon_region::data::{
    Change, Content, DataCommand, DataReply, DatasetName, DatasetSpec, Edit, FieldEdit, Found,
    Kind, Mode, Outside, PlacementRule, Policy, ReadHow, ReadLevel, Receipt, Spot, Write,
    WriteLevel, Written,
};
use photon_region::{Command, Refusal, Reply, Ticket};
use photon_state::{PlacementId, Seen};

use crate::planet::{Planet, eu_only, us_only};

pub(crate) const WAIT: Duration = Duration::from_secs(2);

pub(crate) fn name(text: &str) -> DatasetName {
    DatasetName::try_from(text).unwrap()
}

pub(crate) fn dataset(kind: Kind) -> DatasetSpec {
    DatasetSpec {
        name: name(kind.as_str()),
        kind,
        rule: PlacementRule::Fixed(PlacementId::global()),
        outside: Outside::Forward,
        mode: Mode::MultiMaster,
        policy: Policy::LastWriter,
        write_level: WriteLevel::Eventual,
        read_level: ReadLevel::Session,
        ttl: None,
        retention: None,
        sensitive_keys: false,
    }
}

pub(crate) fn put(key: &str, value: &str) -> Write {
    let (key, edit) = (key.to_owned().into(), Edit::Put(value.to_owned().into()));
    Write { key, edit, expect: None, ttl: None, spot: None }
}

pub(crate) fn add(by: i64) -> Write {
    Write {
        key: Bytes::from_static(b"k"),
        edit: Edit::Add(by),
        expect: None,
        ttl: None,
        spot: None,
    }
}

pub(crate) fn as_data(reply: Result<Reply, Refusal>) -> Result<DataReply, Refusal> {
    match reply {
        Ok(Reply::Data(reply)) => Ok(*reply),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal),
    }
}

impl Planet {
    pub(crate) fn data(
        &mut self,
        region: &'static str,
        command: DataCommand,
    ) -> Result<DataReply, Refusal> {
        as_data(self.get(region, Command::Data(command)))
    }

    pub(crate) fn declare(&mut self, region: &'static str, spec: DatasetSpec) -> DatasetName {
        let name = spec.name.clone();
        self.data(region, DataCommand::Declare(Arc::new(spec))).unwrap();
        name
    }

    pub(crate) fn ask_write(
        &mut self,
        region: &'static str,
        of: &DatasetName,
        write: Write,
    ) -> Ticket {
        self.ask_write_at(region, of, write, None)
    }

    pub(crate) fn ask_write_at(
        &mut self,
        region: &'static str,
        of: &DatasetName,
        write: Write,
        level: Option<WriteLevel>,
    ) -> Ticket {
        let (dataset, session, wait) = (of.clone(), Seen::default(), WAIT);
        let writes = vec![write];
        self.ask(
            region,
            Command::Data(DataCommand::Write { dataset, writes, level, session, wait }),
        )
    }

    pub(crate) fn write(
        &mut self,
        region: &'static str,
        of: &DatasetName,
        write: Write,
    ) -> Result<Written, Refusal> {
        let ticket = self.ask_write(region, of, write);
        self.written(ticket)
    }

    pub(crate) fn written(&mut self, ticket: Ticket) -> Result<Written, Refusal> {
        match as_data(self.replies.remove(&ticket).expect("an answer at once")) {
            Ok(DataReply::Written(written)) => Ok(written),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal),
        }
    }

    pub(crate) fn ask_read(
        &mut self,
        region: &'static str,
        of: &DatasetName,
        key: &str,
        how: ReadHow,
    ) -> Ticket {
        let (dataset, key) = (of.clone(), key.to_owned().into());
        self.ask(region, Command::Data(DataCommand::Read { dataset, key, how }))
    }

    pub(crate) fn read_as(
        &mut self,
        region: &'static str,
        of: &DatasetName,
        key: &str,
        how: ReadHow,
    ) -> Result<Found, Refusal> {
        let ticket = self.ask_read(region, of, key, how);
        self.found(ticket)
    }

    pub(crate) fn found(&mut self, ticket: Ticket) -> Result<Found, Refusal> {
        match as_data(self.replies.remove(&ticket).expect("an answer at once")) {
            Ok(DataReply::Found(found)) => Ok(found),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal),
        }
    }

    /// Reads a record at the dataset's own level, as text.
    pub(crate) fn read(&mut self, region: &'static str, of: &DatasetName, key: &str) -> String {
        text(&self.read_as(region, of, key, ReadHow::default()).unwrap())
    }

    pub(crate) fn watch(
        &mut self,
        region: &'static str,
        of: &DatasetName,
        position: Option<Seen>,
    ) -> (Vec<Change>, Seen) {
        let (dataset, prefix, wait) = (of.clone(), Bytes::new(), Duration::ZERO);
        match self.data(region, DataCommand::Watch { dataset, prefix, spot: None, position, wait })
        {
            Ok(DataReply::Changes { changes, position }) => (changes, position),
            other => panic!("{other:?}"),
        }
    }
}

/// Puts a record into words: `field=content,content field=content`.
pub(crate) fn text(found: &Found) -> String {
    let Some(shown) = &found.record else { return "none".into() };
    match &shown.content {
        Content::Number(sum) => sum.to_string(),
        Content::Quota { value, .. } => value.to_string(),
        Content::Fields(fields) => {
            let utf8 = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
            let field = |(field, all): &(Bytes, Vec<photon_state::crdt::Version>)| {
                let contents: Vec<_> = all.iter().map(|it| utf8(&it.written.bytes)).collect();
                format!("{}={}", utf8(field), contents.join(","))
            };
            fields.iter().map(field).collect::<Vec<_>>().join(" ")
        }
    }
}

pub(crate) fn how(level: ReadLevel, session: &Seen) -> ReadHow {
    let (level, session) = (Some(level), session.clone());
    ReadHow { level, session, staleness_max: None, wait: WAIT, spot: None }
}

pub(crate) fn edits(edits: Vec<FieldEdit>) -> Write {
    Write {
        key: Bytes::from_static(b"k"),
        edit: Edit::Fields(edits),
        expect: None,
        ttl: None,
        spot: None,
    }
}

pub(crate) fn set(field: &'static str, content: &'static str) -> FieldEdit {
    FieldEdit::Set(Bytes::from_static(field.as_bytes()), Bytes::from_static(content.as_bytes()))
}

/// Declares records that live where the attribute `residency` says.
pub(crate) fn by_record(kind: Kind, others: Option<PlacementId>) -> DatasetSpec {
    let values = [("eu".into(), eu_only()), ("us".into(), us_only())].into();
    let rule = PlacementRule::ByRecord { attribute: "residency".into(), values, others };
    DatasetSpec { rule, ..dataset(kind) }
}

pub(crate) fn spot(value: &str) -> Option<Spot> {
    Some(Spot::Value(value.into()))
}

pub(crate) fn said(value: &str) -> ReadHow {
    ReadHow { spot: spot(value), ..ReadHow::default() }
}

pub(crate) fn move_to(
    planet: &mut Planet,
    region: &'static str,
    of: &DatasetName,
    to: &str,
) -> Ticket {
    let (dataset, key, to) = (of.clone(), Bytes::from_static(b"k"), Spot::Value(to.into()));
    let (from, asked_in, wait) = (None, None, WAIT);
    planet.ask(region, Command::Data(DataCommand::Move { dataset, key, to, from, asked_in, wait }))
}

pub(crate) fn receipt(planet: &mut Planet, ticket: Ticket) -> Result<Receipt, Refusal> {
    match as_data(planet.replies.remove(&ticket).expect("an answer")) {
        Ok(DataReply::Moved(receipt)) => Ok(*receipt),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal),
    }
}

pub(crate) fn receipts(
    planet: &mut Planet,
    region: &'static str,
    of: &DatasetName,
) -> Vec<Receipt> {
    let (dataset, id, before, limit) = (of.clone(), None, None, 10);
    match planet.data(region, DataCommand::Receipts { dataset, id, before, limit }) {
        Ok(DataReply::Receipts { receipts, more: false }) => receipts,
        other => panic!("{other:?}"),
    }
}
