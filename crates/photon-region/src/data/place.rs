//! Where a record lives: by the rule of its dataset, by what a request says, by what is here.
//! Must not ask other regions: that is `search`.

use std::collections::BTreeSet;
use std::sync::Arc;

use photon_state::{Now, PlacementId, Record, RegionId};

use super::refusal::DataRefusal;
use super::{DataCommand, DatasetSpec, Edit, Outside, PlacementRule, Shown, Spot, Write};
use crate::refusal::Refusal;
use crate::region::Region;

impl DatasetSpec {
    /// Returns the refusal of a request that does not say where a record lives, or not rightly.
    pub(super) fn unplaced(&self, said: Option<&Arc<str>>) -> Refusal {
        let PlacementRule::ByRecord { attribute, values, others } = &self.rule else {
            unreachable!("only records that are placed one by one have to say where")
        };
        let others = others.map(|_| Arc::from(PlacementRule::OTHERS));
        DataRefusal::Unplaced {
            dataset: self.name.clone(),
            attribute: attribute.clone(),
            said: said.map(|it| it.chars().take(100).collect::<String>().into()),
            allowed: values.keys().cloned().chain(others).collect(),
        }
        .into()
    }
}

impl Region {
    /// Returns where a record lives whose dataset or whose request says it; `None` if that depends
    /// on where it was made.
    pub(super) fn said_place(
        &self,
        spec: &DatasetSpec,
        key: &[u8],
        spot: Option<&Spot>,
    ) -> Result<Option<PlacementId>, Refusal> {
        let placement = match (&spec.rule, spot) {
            (PlacementRule::Fixed(placement), None) => *placement,
            (PlacementRule::ByTenant { tenants, others }, None) => {
                let tenant = key.split(|byte| *byte == b'/').next().unwrap_or(key);
                let tenant = String::from_utf8_lossy(tenant);
                let found = tenants.get(&*tenant).or(others.as_ref()).copied();
                let shown = if spec.sensitive_keys { "(not told)" } else { &tenant };
                found.ok_or_else(|| {
                    Refusal::from(DataRefusal::NoSuchTenant {
                        dataset: spec.name.clone(),
                        tenant: shown.chars().take(100).collect::<String>().into(),
                    })
                })?
            }
            (PlacementRule::ByRecord { .. }, None) => return Ok(None),
            (PlacementRule::ByRecord { values, others, .. }, Some(Spot::Value(value))) => {
                let others = others.filter(|_| **value == *PlacementRule::OTHERS);
                let found = values.get(value).copied().or(others);
                found.ok_or_else(|| spec.unplaced(Some(value)))?
            }
            (PlacementRule::ByRecord { .. }, Some(Spot::Placement(placement))) => {
                if !spec.rule.placements().any(|it| it == *placement) {
                    return Err(Refusal::NoSuchPlacement(*placement));
                }
                *placement
            }
            (PlacementRule::Fixed(_) | PlacementRule::ByTenant { .. }, Some(_)) => {
                let (field, why) = ("residency", "the dataset does not place records one by one");
                return Err(DataRefusal::Senseless { field, why }.into());
            }
        };
        if self.config.placements.contains_key(&placement) {
            Ok(Some(placement))
        } else {
            Err(Refusal::NoSuchPlacement(placement))
        }
    }

    /// Returns where a record lives that is written.
    pub(super) fn place_write(
        &self,
        spec: &DatasetSpec,
        write: &Write,
    ) -> Result<PlacementId, Refusal> {
        let said = self.said_place(spec, &write.key, write.spot.as_ref())?;
        let PlacementRule::ByRecord { others, .. } = &spec.rule else {
            return Ok(said.expect("every other rule says it"));
        };
        let here = self.lives_here(self.now, spec, &write.key);
        match (said, here.first()) {
            // A record must not come to be in two places because somebody is mistaken.
            (Some(said), Some(first)) if here.iter().all(|it| it.placement != said) => {
                Err(DataRefusal::LivesElsewhere { placement: first.placement }.into())
            }
            (Some(said), _) => Ok(said),
            (None, Some(first)) => Ok(first.placement),
            (None, None) => {
                // Nothing is removed here that lives elsewhere: whoever asked must not think so.
                let removes = matches!(write.edit, Edit::Delete);
                let knows_all = self.placements_held(spec).len() == self.placements_of(spec).len();
                let others = others.filter(|_| !removes || knows_all);
                others.ok_or_else(|| spec.unplaced(None))
            }
        }
    }

    /// Returns the placements of a dataset that this region is in.
    pub(super) fn placements_held(&self, spec: &DatasetSpec) -> Vec<PlacementId> {
        let all = self.placements_of(spec).into_iter();
        all.filter(|it| self.may_hold(self.config.region, *it)).collect()
    }

    /// Returns the records with a key that live here, the youngest first: one, or several where
    /// regions have made them apart or while one moves.
    pub(super) fn lives_here(&self, now: Now, spec: &DatasetSpec, key: &[u8]) -> Vec<Shown> {
        let held = self.placements_held(spec).into_iter();
        let record = |it| Self::record_of(spec, it, key);
        let shown = held.filter_map(|it| self.show_record(now, spec, &record(it)));
        youngest_first(shown.filter(Shown::is_live).collect())
    }

    /// Returns the append that must be durable before it is told what records with a key live here.
    pub(super) fn append_of_all(&self, spec: &DatasetSpec, key: &[u8]) -> u64 {
        let held = self.placements_held(spec).into_iter();
        let appends = held.map(|it| self.data.append_of(&Self::record_of(spec, it, key)));
        appends.max().unwrap_or(0)
    }

    /// Says of a record where else one with its key lives, as far as is known here.
    pub(super) fn mark_also(&self, now: Now, spec: &DatasetSpec, key: &[u8], shown: &mut Shown) {
        if spec.rule.is_by_record() {
            let all = self.lives_here(now, spec, key).into_iter().map(|it| it.placement);
            shown.also_in = all.filter(|it| *it != shown.placement).collect();
        }
    }

    /// Returns the refusal of a region that may not ask others for what does not live in it.
    pub(super) fn outside_of(&self, spec: &DatasetSpec, others: &[PlacementId]) -> Option<Refusal> {
        if spec.sensitive_keys {
            return Some(spec.unplaced(None)); // To ask would tell others the key.
        }
        if spec.outside == Outside::Forward {
            return None;
        }
        let members = |it: &PlacementId| self.config.placements.get(it).into_iter().flatten();
        let members: BTreeSet<RegionId> = others.iter().flat_map(members).copied().collect();
        Some(Refusal::OutsidePlacement {
            region: self.config.region,
            placement: *others.first()?,
            members: members.into_iter().collect(),
        })
    }
}

/// Says in writes that are handed on where their records live, as far as that was found out here.
pub(super) fn with_places(
    spec: &DatasetSpec,
    command: &DataCommand,
    targets: &[(Record, &Write)],
) -> DataCommand {
    let mut command = command.clone();
    if let DataCommand::Write { writes, .. } = &mut command
        && spec.rule.is_by_record()
    {
        for (write, (record, _)) in writes.iter_mut().zip(targets) {
            write.spot = Some(Spot::Placement(record.placement));
        }
    }
    command
}

/// Puts the record that is shown first, and names the places of the others in it.
pub(super) fn youngest_first(mut all: Vec<Shown>) -> Vec<Shown> {
    all.sort_by_key(|it| std::cmp::Reverse((it.at(), it.placement)));
    let others = all.iter().skip(1).map(|it| it.placement).collect();
    if let Some(first) = all.first_mut() {
        first.also_in = others;
    }
    all
}
