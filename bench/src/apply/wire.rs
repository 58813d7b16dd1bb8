//! How many bytes ops take on a link, beside the JSON of the same ops.
//! Must not measure anything but that, and what compression costs.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, bail};
use photon_region::{Message, decode_message};
use photon_state::crdt::Delta;
use photon_state::{Change, Op};
use zstd::stream::write::{Decoder, Encoder};

use super::pair::DATASET;
use crate::process;
use crate::report::Target;

/// The level that costs least.
const LEVEL: i32 = 1;

/// What has passed over a link, in four forms.
pub(super) struct Wire {
    ops: usize,
    plain: usize,
    json: usize,
    packed: Packed,
    packed_json: Packed,
    unpacker: Decoder<'static, Vec<u8>>,
    unpacking: Duration,
}

/// One direction of a link, compressed.
struct Packed {
    encoder: Encoder<'static, Vec<u8>>,
    bytes: usize,
    packing: Duration,
}

impl Packed {
    fn new() -> anyhow::Result<Self> {
        let encoder = Encoder::new(Vec::new(), LEVEL)?;
        Ok(Self { encoder, bytes: 0, packing: Duration::ZERO })
    }

    /// Compresses a message so that the other side can read it at once; returns what is sent.
    fn pack(&mut self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let began = process::thread_cpu();
        self.encoder.write_all(message)?;
        self.encoder.flush()?;
        self.packing += process::thread_cpu().saturating_sub(began);
        let packed = std::mem::take(self.encoder.get_mut());
        self.bytes += packed.len();
        Ok(packed)
    }
}

impl Wire {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            ops: 0,
            plain: 0,
            json: 0,
            packed: Packed::new()?,
            packed_json: Packed::new()?,
            unpacker: Decoder::new(Vec::new())?,
            unpacking: Duration::ZERO,
        })
    }

    /// Takes note of a message with ops.
    pub(super) fn take(&mut self, frame: &[u8]) -> anyhow::Result<()> {
        let Message::Ops(ops) = decode_message(frame)? else { return Ok(()) };
        self.ops += ops.len();
        self.plain += frame.len();
        let packed = self.packed.pack(frame)?;
        let began = process::thread_cpu();
        self.unpacker.write_all(&packed)?;
        self.unpacker.flush()?;
        self.unpacking += process::thread_cpu().saturating_sub(began);
        let unpacked = std::mem::take(self.unpacker.get_mut());
        anyhow::ensure!(unpacked == frame, "what was compressed did not come back");
        let mut json = Vec::new();
        for op in &ops {
            write_json(op, &mut json)?;
        }
        self.json += json.len();
        self.packed_json.pack(&json)?;
        Ok(())
    }

    /// Tells what came of it.
    pub(super) fn describe(
        &self,
        zstd: Target,
        row: &mut impl FnMut(&str, (f64, &'static str), Target),
    ) {
        let ops = self.ops.max(1) as f64;
        let each = |bytes: usize| (bytes as f64 / ops, "B");
        let share = |bytes: usize| (100.0 * bytes as f64 / self.json as f64, "%");
        let us = |time: Duration| (time.as_secs_f64() * 1e6 / ops, "us");
        row("on the wire, each op", each(self.plain), Target::None);
        row("on the wire with zstd, each op", each(self.packed.bytes), Target::None);
        row("as JSON, each op", each(self.json), Target::None);
        row("on the wire, share of JSON", share(self.plain), Target::None);
        row("on the wire with zstd, share of JSON", share(self.packed.bytes), zstd);
        row("JSON with zstd, share of JSON", share(self.packed_json.bytes), Target::None);
        row("zstd, compressing each op", us(self.packed.packing), Target::None);
        row("zstd, decompressing each op", us(self.unpacking), Target::None);
    }
}

/// Writes an op as short as JSON can tell it.
fn write_json(op: &Op, out: &mut Vec<u8>) -> anyhow::Result<()> {
    let key = &op.key.as_bytes()[1 + DATASET.len()..];
    let key = std::str::from_utf8(key).context("keys are text here")?;
    write!(out, r#"{{"dataset":"{DATASET}","key":"{key}","#)?;
    let Change::Update(update) = &op.change else { bail!("only data is written here") };
    match &update.delta {
        Delta::Fields(changes) => {
            for change in changes {
                if !change.field.is_empty() {
                    let field = std::str::from_utf8(&change.field).context("fields are text")?;
                    write!(out, r#""field":"{field}","#)?;
                }
                out.extend_from_slice(br#""value":"#);
                let written = change.written.as_ref().context("nothing is removed here")?;
                out.extend_from_slice(&written.bytes);
            }
        }
        Delta::Add(by) => write!(out, r#""add":{by}"#)?,
        Delta::Escrow(_) => bail!("no bounded counter is written here"),
    }
    let (at, origin) = (op.at.wall_ms, op.stream.origin);
    write!(out, r#","at":{at},"origin":"{origin}","number":{}}}"#, op.seq)?;
    Ok(())
}
