//! What must be true when all is healed.
//! Must not trust one region: each is asked about each record.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::fleet::Fleet;
use super::ledger::{Fate, Ledger, Put, Spot, Sum};
use super::{OUTSIDE, datasets, members};
use crate::harness::{Api, eventually_within, text};

/// How long regions may take to have caught up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Records by their keys.
type Records = BTreeMap<String, Value>;

/// Waits until all regions of each placement hold the same bytes, by their digests.
pub(crate) async fn regions_hold_the_same(fleet: &Fleet) {
    for (placement, dataset) in datasets() {
        let what = format!("all regions of `{placement}` hold the same of `{dataset}`");
        let verified = eventually_within(PATIENCE, what, || async {
            let verify = ["dataset", "verify", &dataset, "--output", "json"];
            let done = fleet.photon(&verify).await;
            (done.code == Some(0)).then(|| done.json())
        });
        let verified = verified.await;
        assert_eq!(verified["verdict"], "same", "{verified:#}");
        let of = |it: &Value| (text(&it["region"]).to_owned(), it["records"].clone());
        let regions: Vec<_> =
            verified["regions"].as_array().expect("a list").iter().map(of).collect();
        let names: Vec<_> = regions.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, members(placement), "{verified:#}");
        assert!(regions[0].1.as_u64().is_some_and(|it| 0 < it), "{verified:#}");
        assert!(regions.iter().all(|(_, count)| *count == regions[0].1), "{verified:#}");
    }
}

/// Panics unless regions outside the placement refuse to say anything of it.
pub(crate) async fn regions_outside_know_nothing(fleet: &Fleet) {
    for region in OUTSIDE {
        let path = "/v1/datasets/eu-last/digest?placement=eu";
        fleet.api(region).get(path).await.refused(421, "outside-placement");
    }
}

/// Panics unless every region shows what was acknowledged, and nothing that was never written.
pub(crate) async fn nothing_is_lost(fleet: &Fleet, ledger: &Ledger) {
    for (placement, dataset) in datasets() {
        let mut first: Option<Records> = None;
        for region in members(placement) {
            let records = all_records(&fleet.api(region), &dataset).await;
            check(ledger, &dataset, &records, region);
            if let Some(first) = &first {
                assert_eq!(first, &records, "regions disagree, although they say they do not");
            }
            first.get_or_insert(records);
        }
    }
}

/// Returns all records of a dataset, but for what differs between regions that agree.
async fn all_records(api: &Api, dataset: &str) -> Records {
    let (mut records, mut after) = (Records::new(), String::new());
    loop {
        let path = format!("/v1/data/{dataset}?limit=1000&consistency=eventual{after}");
        let page = api.get(&path).await.ok();
        for record in page["records"].as_array().expect("a list") {
            let mut record = record.clone();
            record.as_object_mut().expect("an object").remove("rights_here");
            records.insert(text(&record["key"]).to_owned(), record);
        }
        match page["next_after"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return records,
        }
    }
}

fn check(ledger: &Ledger, dataset: &str, records: &Records, region: &str) {
    let whose = |spot: &Spot| spot.0 == dataset;
    for (spot, things) in ledger.things.iter().filter(|(spot, _)| whose(spot)) {
        let shown = records.get(&spot.1).map(things_of).unwrap_or_default();
        for (thing, fate) in things {
            let is_there = shown.contains(thing);
            let is_right = match fate {
                Fate::There => is_there,
                Fate::Maybe => true,
                Fate::Gone => !is_there,
            };
            assert!(is_right, "{region}: {fate:?} was said of {thing} in {spot:?}");
        }
        let unknown = shown.iter().find(|it| !things.contains_key(*it));
        assert!(unknown.is_none(), "{region}: nobody wrote {unknown:?} in {spot:?}");
    }
    for (spot, puts) in ledger.puts.iter().filter(|(spot, _)| whose(spot)) {
        check_puts(puts, records.get(&spot.1), (region, spot));
    }
    for (spot, sum) in ledger.sums.iter().filter(|(spot, _)| whose(spot)) {
        check_sum(sum, records.get(&spot.1), (region, spot));
    }
    let is_known = |key: &String| {
        let spot = (dataset.to_owned(), key.clone());
        ledger.things.contains_key(&spot)
            || ledger.puts.contains_key(&spot)
            || ledger.sums.contains_key(&spot)
    };
    let unknown = records.keys().find(|it| !is_known(it));
    assert!(unknown.is_none(), "{region}: nobody wrote {unknown:?} of {dataset}");
}

/// Of what a writer put one after the other, only the last that was acknowledged may be left, and
/// what nobody knows about.
fn check_puts(puts: &[Put], record: Option<&Value>, at: (&str, &Spot)) {
    let Some(record) = record else {
        assert!(puts.iter().all(|it| !it.is_sure), "{at:?}: there is nothing");
        return;
    };
    let one = std::slice::from_ref(&record["value"]);
    let values = record["values"].as_array().map_or(one, Vec::as_slice);
    assert!(!values.is_empty(), "{at:?}: {record:#}");
    for value in values {
        let own = puts.iter().filter(|it| value["by"] == *it.by);
        let found = own.clone().find(|it| value["number"] == it.number);
        let found = found.unwrap_or_else(|| panic!("{at:?}: nobody put {value}"));
        let last = own.filter(|it| it.is_sure).map(|it| it.number).max();
        let is_last = !found.is_sure || Some(found.number) == last;
        assert!(is_last, "{at:?}: {value} is shown, and {last:?} was acknowledged after it");
    }
}

fn check_sum(sum: &Sum, record: Option<&Value>, at: (&str, &Spot)) {
    let value = record.map(|it| it["value"]["sum"].as_i64().or(it["value"].as_i64()));
    let value = value.unwrap_or(Some(0)).unwrap_or_else(|| panic!("{at:?}: {record:?}"));
    let (least, most) = (sum.sure_in - sum.tried_out, sum.tried_in - sum.sure_out);
    assert!((least..=most).contains(&value), "{at:?}: {value} is shown, and {sum:?} was counted");
    if at.1.0.ends_with("quota") {
        assert!(0 <= value && sum.sure_out <= sum.tried_in, "{at:?} is overspent: {sum:?}");
    }
}

/// Returns what a record holds, as its writers write it down.
fn things_of(record: &Value) -> Vec<String> {
    if let Some(elements) = record["elements"].as_array() {
        return elements.iter().map(|it| text(it).to_owned()).collect();
    }
    if let Some(fields) = record["fields"].as_object() {
        return fields.keys().cloned().collect();
    }
    if let Some(document) = record["document"].as_object() {
        let below = |(writer, members): (&String, &Value)| -> Vec<String> {
            let members = members.as_object().expect("they were written so");
            members.keys().map(|it| format!("{writer}/{it}")).collect()
        };
        return document.iter().flat_map(below).collect();
    }
    let bytes = record["value_base64"].as_str().map(str::to_owned);
    vec![bytes.unwrap_or_else(|| record["value"].to_string())]
}
