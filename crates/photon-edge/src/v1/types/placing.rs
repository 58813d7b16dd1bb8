//! Where the records of a dataset live, in JSON: all in one place, by tenant, or one by one.
//! Must not know which placements a planet has.

use std::collections::BTreeMap;
use std::sync::Arc;

use photon_region::data::PlacementRule;
use photon_state::PlacementId;

use super::dataset::{Dataset, DatasetFault, fault};

/// What the attribute is called that says where a record lives, if the declaration does not say.
pub(crate) const ATTRIBUTE_DEFAULT: &str = "residency";
/// The longest name of the attribute, and its longest value, in bytes.
pub(crate) const RESIDENCY_BYTES_MAX: usize = 64;

/// Whether a text can be a value of the attribute: it goes into a header, too.
pub(crate) fn is_residency(text: &str) -> bool {
    let is_short = (1..=RESIDENCY_BYTES_MAX).contains(&text.len());
    is_short && text.bytes().all(|it| it.is_ascii_graphic())
}

/// Reads the rule out of a declaration.
pub(super) fn rule(dataset: &Dataset) -> Result<PlacementRule, DatasetFault> {
    let others = dataset.others.as_deref().map(|it| placement("others", it)).transpose()?;
    if dataset.attribute.is_some() && dataset.residencies.is_none() {
        return Err(fault("attribute", "it goes with `residencies`"));
    }
    match (&dataset.placement, &dataset.tenants, &dataset.residencies) {
        (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
            let rule = "give one of `placement`, `tenants` and `residencies`";
            Err(fault("placement", rule))
        }
        (None, Some(_), Some(_)) => Err(fault("tenants", "give `tenants` or `residencies`")),
        (None, Some(tenants), None) => {
            let is_tenant = |it: &str| !it.is_empty() && !it.contains('/');
            if let Some(tenant) = tenants.keys().find(|it| !is_tenant(it)) {
                let rule = format!("`{tenant}` is not in front of a `/` in any key");
                return Err(fault("tenants", rule));
            }
            Ok(PlacementRule::ByTenant { tenants: named("tenants", tenants)?, others })
        }
        (None, None, Some(values)) => {
            let is_value = |it: &str| is_residency(it) && it != PlacementRule::OTHERS;
            if let Some(value) = values.keys().find(|it| !is_value(it)) {
                let rule = format!(
                    "`{value}` cannot be a value: use 1 to {RESIDENCY_BYTES_MAX} visible ASCII \
                     characters, but not `{}`",
                    PlacementRule::OTHERS
                );
                return Err(fault("residencies", rule));
            }
            let attribute = dataset.attribute.as_deref().unwrap_or(ATTRIBUTE_DEFAULT);
            if !is_residency(attribute) {
                let rule = format!("use 1 to {RESIDENCY_BYTES_MAX} visible ASCII characters");
                return Err(fault("attribute", rule));
            }
            let values = named("residencies", values)?;
            Ok(PlacementRule::ByRecord { attribute: attribute.into(), values, others })
        }
        (placed, None, None) => {
            if others.is_some() {
                let rule = "it goes with `tenants` or `residencies`; use `placement`";
                return Err(fault("others", rule));
            }
            let placed = placed.as_deref().map(|it| placement("placement", it)).transpose()?;
            Ok(PlacementRule::Fixed(placed.unwrap_or(PlacementId::global())))
        }
    }
}

fn named(
    field: &'static str,
    placed: &BTreeMap<String, String>,
) -> Result<BTreeMap<Arc<str>, PlacementId>, DatasetFault> {
    if placed.is_empty() {
        return Err(fault(field, "name one at least"));
    }
    placed.iter().map(|(name, it)| Ok((name.as_str().into(), placement(field, it)?))).collect()
}

fn placement(field: &'static str, text: &str) -> Result<PlacementId, DatasetFault> {
    PlacementId::try_from(text).map_err(|err| fault(field, err.to_string()))
}

/// Writes the rule into a declaration that says nothing else.
pub(super) fn shown(rule: &PlacementRule) -> Dataset {
    let texts = |placed: &BTreeMap<Arc<str>, PlacementId>| {
        Some(placed.iter().map(|(name, it)| (name.to_string(), it.to_string())).collect())
    };
    let blank = Dataset::default();
    match rule {
        PlacementRule::Fixed(it) => Dataset { placement: Some(it.to_string()), ..blank },
        PlacementRule::ByTenant { tenants, others } => {
            let others = others.map(|it| it.to_string());
            Dataset { tenants: texts(tenants), others, ..blank }
        }
        PlacementRule::ByRecord { attribute, values, others } => {
            let others = others.map(|it| it.to_string());
            let attribute = Some(attribute.to_string());
            Dataset { residencies: texts(values), attribute, others, ..blank }
        }
    }
}
