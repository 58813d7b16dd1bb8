//! Histories of writes in three regions, delivered in any order: all regions end the same.
//! Must not test how a structure is laid out.

use std::borrow::Cow;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::codec::{Reader, Writer};
use crate::{
    Applied, Change, Content, Dataset, Key, Op, PlacementId, Record, RegionId, Source, Store,
    Update,
};

const REGIONS: [&str; 3] = ["a", "b", "c"];

fn source(region: usize) -> Source {
    Source { origin: RegionId::try_from(REGIONS[region]).unwrap(), incarnation: 1 }
}

fn record(shape: Shape) -> Record {
    Record { placement: PlacementId::global(), dataset: Dataset(9), key: Key::new(&[shape as u8]) }
}

/// What somebody does in a region.
#[derive(Clone, Debug)]
enum Step {
    Put {
        field: u8,
        value: u8,
    },
    Remove {
        field: u8,
    },
    RemoveAll,
    Add(i16),
    Grant(u8),
    Spend(u8),
    Give {
        to: usize,
        rights: u8,
    },
    /// Takes in the next op of another region, if there is one.
    Hear {
        from: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_u8, any::<u8>()).prop_map(|(field, value)| Step::Put { field, value }),
        2 => (0..3_u8).prop_map(|field| Step::Remove { field }),
        1 => Just(Step::RemoveAll),
        2 => any::<i16>().prop_map(Step::Add),
        2 => any::<u8>().prop_map(Step::Grant),
        2 => any::<u8>().prop_map(Step::Spend),
        1 => (0..3_usize, any::<u8>()).prop_map(|(to, rights)| Step::Give { to, rights }),
        8 => (0..3_usize).prop_map(|from| Step::Hear { from }),
    ]
}

/// Three regions, what each has written, and what each has applied.
#[derive(Default)]
struct World {
    stores: [Store; 3],
    written: [Vec<Op>; 3],
}

impl World {
    fn fields(&self, region: usize) -> Fields {
        match self.stores[region].state(&record(Shape::Fields), Shape::Fields).as_deref() {
            Some(Value::Fields(fields)) => fields.clone(),
            _ => Fields::default(),
        }
    }

    fn escrow(&self, region: usize) -> Escrow {
        match self.stores[region].state(&record(Shape::Escrow), Shape::Escrow).as_deref() {
            Some(Value::Escrow(escrow)) => escrow.clone(),
            _ => Escrow::default(),
        }
    }

    fn write(&mut self, region: usize, delta: Delta) {
        let stream = source(region).stream(PlacementId::global());
        let seq = self.written[region].len() as u64 + 1;
        let at = Hlc { wall_ms: 1_000 + seq / 3, count: 0 };
        let (dataset, key) = (Dataset(9), record(delta.shape()).key);
        let change = Change::Update(Box::new(Update { delta, needs: Seen::default() }));
        let op = Op { stream, seq, at, dataset, key, change };
        assert!(self.stores[region].apply(&op).is_new());
        self.written[region].push(op);
    }

    fn removal(&self, region: usize, wanted: Option<u8>) -> Delta {
        let fields = self.fields(region);
        let of = |(field, all): (&Field, &[(Field, Version)])| FieldChange {
            field: field.clone(),
            replaces: all.iter().map(|(_, it)| it.dot).collect(),
            written: None,
        };
        let hit = |(field, _): &(&Field, _)| wanted.is_none_or(|it| field[..] == [it]);
        Delta::Fields(fields.iter().filter(hit).map(of).collect())
    }

    fn step(&mut self, region: usize, step: &Step) {
        match *step {
            Step::Put { field, value } => {
                let field = Bytes::copy_from_slice(&[field]);
                let held = self.fields(region);
                let replaces = held.of(&field).iter().map(|(_, it)| it.dot).collect();
                let bytes = Bytes::copy_from_slice(&[value]);
                let written = Some(Written { bytes, expires_ms: None });
                self.write(region, Delta::Fields(vec![FieldChange { field, replaces, written }]));
            }
            Step::Remove { field } => self.write(region, self.removal(region, Some(field))),
            Step::RemoveAll => self.write(region, self.removal(region, None)),
            Step::Add(by) => self.write(region, Delta::Add(by.into())),
            Step::Grant(by) => self.write(region, Delta::Escrow(EscrowDelta::Grant(by.into()))),
            Step::Spend(by) => {
                if u128::from(by) <= self.escrow(region).rights(source(region)) {
                    self.write(region, Delta::Escrow(EscrowDelta::Spend(by.into())));
                }
            }
            Step::Give { to, rights } => {
                if u128::from(rights) <= self.escrow(region).rights(source(region)) {
                    let to = source(to);
                    let give = EscrowDelta::Give { to, rights: rights.into() };
                    self.write(region, Delta::Escrow(give));
                }
            }
            Step::Hear { from } => {
                let known =
                    self.stores[region].seen().of(&source(from).stream(PlacementId::global()));
                if let Some(op) = self.written[from].get(known as usize) {
                    assert!(self.stores[region].apply(op).is_new());
                    assert_eq!(self.stores[region].apply(op), Applied::Repeated);
                }
            }
        }
    }

    fn hear_all(&mut self, region: usize, order: [usize; 3]) {
        for from in order {
            for _ in 0..self.written[from].len() {
                self.step(region, &Step::Hear { from });
            }
        }
    }
}

/// The state of one region, with what it has seen, as repair and quorum reads exchange it.
fn merged(into: &Store, from: &Store, shape: Shape) -> Value {
    let all = |store: &Store| store.state(&record(shape), shape).map(Cow::into_owned);
    let mut value = all(into).unwrap_or(Value::empty(shape));
    let other = all(from).unwrap_or(Value::empty(shape));
    let global = PlacementId::global();
    value.merge(&|it| it.is_in(into.seen(), global), &other, &|it| it.is_in(from.seen(), global));
    value
}

fn world(steps: &[(usize, Step)]) -> World {
    let mut world = World::default();
    steps.iter().for_each(|(region, step)| world.step(*region, step));
    world
}

const SHAPES: [Shape; 3] = [Shape::Fields, Shape::Counter, Shape::Escrow];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn regions_that_have_seen_the_same_hold_the_same(
        steps in proptest::collection::vec((0..3_usize, step()), 1..80),
    ) {
        let mut world = world(&steps);
        world.hear_all(0, [1, 2, 0]);
        world.hear_all(1, [2, 0, 1]);
        world.hear_all(2, [0, 1, 2]);
        prop_assert_eq!(world.stores[0].contents(), world.stores[1].contents());
        prop_assert_eq!(world.stores[0].contents(), world.stores[2].contents());
        // Whatever was removed before it came has come: nothing is left behind.
        prop_assert_eq!(world.fields(0).gone().count(), 0);
    }

    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        steps in proptest::collection::vec((0..3_usize, step()), 1..80),
    ) {
        let world = world(&steps);
        let seen = |region: usize| world.stores[region].seen().clone();
        let has = |seen: Seen| move |dot: Dot| dot.is_in(&seen, PlacementId::global());
        let both = |a: &Seen, b: &Seen| {
            let mut both = a.clone();
            both.join(b);
            both
        };
        for shape in SHAPES {
            let state = |region: usize| {
                let held = world.stores[region].state(&record(shape), shape);
                (held.map(Cow::into_owned).unwrap_or(Value::empty(shape)), seen(region))
            };
            let merge = |(a, sa): (Value, Seen), (b, sb): (Value, Seen)| {
                let mut value = a;
                value.merge(&has(sa.clone()), &b, &has(sb.clone()));
                (value, both(&sa, &sb))
            };
            prop_assert_eq!(merge(state(0), state(1)), merge(state(1), state(0)));
            prop_assert_eq!(merge(state(0), state(0)), state(0));
            prop_assert_eq!(
                merge(merge(state(0), state(1)), state(2)),
                merge(state(0), merge(state(1), state(2)))
            );
        }
    }

    #[test]
    fn merging_states_gives_what_applying_the_ops_gives(
        steps in proptest::collection::vec((0..3_usize, step()), 1..80),
    ) {
        let mut world = world(&steps);
        let merges = SHAPES.map(|shape| merged(&world.stores[0], &world.stores[1], shape));
        // Region 0 takes in all that region 1 had seen, op by op.
        let known = world.stores[1].seen().clone();
        for from in [2, 1, 0] {
            let stream = source(from).stream(PlacementId::global());
            while world.stores[0].seen().of(&stream) < known.of(&stream) {
                world.step(0, &Step::Hear { from });
            }
        }
        for (shape, merged) in SHAPES.into_iter().zip(merges) {
            let held = world.stores[0].state(&record(shape), shape);
            prop_assert_eq!(held.map(Cow::into_owned).unwrap_or(Value::empty(shape)), merged);
        }
    }

    #[test]
    fn a_bounded_counter_is_never_overspent(
        steps in proptest::collection::vec((0..3_usize, step()), 1..80),
    ) {
        let mut world = world(&steps);
        world.hear_all(0, [0, 1, 2]);
        let escrow = world.escrow(0);
        prop_assert!(0 <= escrow.value());
        let rights: u128 = escrow.holders().map(|(_, rights)| rights).sum();
        prop_assert_eq!(rights as i128, escrow.value());
    }

    #[test]
    fn a_write_that_no_removal_has_seen_survives(
        steps in proptest::collection::vec((0..3_usize, step()), 1..80),
    ) {
        let mut world = world(&steps);
        world.step(0, &Step::Put { field: 0, value: 7 });
        world.step(1, &Step::RemoveAll);
        for region in 0..3 {
            world.hear_all(region, [2, 1, 0]);
            let fields = world.fields(region);
            prop_assert!(fields.of(&[0]).iter().any(|(_, it)| it.dot.source == source(0)));
        }
    }

    #[test]
    fn every_op_and_state_comes_back_and_damage_is_refused(
        steps in proptest::collection::vec((0..3_usize, step()), 1..40),
        flip in any::<(usize, u8)>(),
    ) {
        let world = world(&steps);
        for op in world.written.iter().flatten() {
            let mut writer = Writer::default();
            writer.op(op);
            let bytes = writer.into_bytes();
            let read = |bytes: &[u8]| {
                let mut reader = Reader::new(bytes);
                reader.op().and_then(|op| reader.end().map(|()| op))
            };
            prop_assert_eq!(read(&bytes), Ok(op.clone()));
            for len in 0..bytes.len() {
                prop_assert!(read(&bytes[..len]).is_err());
            }
            let mut damaged = bytes.to_vec();
            let at = flip.0 % damaged.len();
            damaged[at] ^= flip.1 | 1;
            prop_assert_ne!(read(&damaged), Ok(op.clone()));
        }
        for (_, content) in world.stores.iter().flat_map(Store::contents) {
            let Content::Value(value) = content else { continue };
            let mut writer = Writer::default();
            writer.value(&value);
            let bytes = writer.into_bytes();
            prop_assert_eq!(Reader::new(&bytes).value(), Ok(value.into_owned()));
            for len in 0..bytes.len() {
                prop_assert!(Reader::new(&bytes[..len]).value().is_err());
            }
        }
    }
}
