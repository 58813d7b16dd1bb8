//! The options of a task, checked, and back again.
//! Must not know which protocol they came by.

use std::sync::Arc;
use std::time::Duration;

use photon_region::{Fan, Need, Over, Priority, Retry, Terms, Wants, Weight};

use crate::names::{self, Invalid};
use crate::v1::types::{
    COST_MAX, FanOut, FanOutTo, FanOutUntil, RetryPolicy, TASK_MS_MAX, TaskOptions,
};

/// Checks options; `field` is where they stand. Returns nothing if they change nothing.
pub(crate) fn terms(field: &str, options: &TaskOptions) -> Result<Option<Arc<Terms>>, Invalid> {
    let terms = check(field, options)?;
    Ok(Some(terms).filter(|it| *it != Terms::default()).map(Arc::new))
}

fn check(field: &str, options: &TaskOptions) -> Result<Terms, Invalid> {
    let at = |name: &str| format!("{field}.{name}");
    let time = |name: &str, ms: Option<u64>, min: u64, max: u64| match ms {
        Some(ms) if !(min..=max).contains(&ms) => {
            Err(Invalid::new(at(name), format!("use {min} to {max} milliseconds")))
        }
        Some(_) | None => Ok(ms.map(Duration::from_millis)),
    };
    let timeout = |name: &str, ms: Option<u64>| time(name, ms, 1, TASK_MS_MAX);
    let priority = match options.priority_key {
        Some(number) => Priority::new(number)
            .ok_or_else(|| Invalid::new(at("priority_key"), "use 1, the most urgent, to 5"))?,
        None => Priority::default(),
    };
    let fairness_key = match &options.fairness_key {
        Some(text) => Some(names::fairness_key(&at("fairness_key"), text)?),
        None => None,
    };
    let fairness_weight = match options.fairness_weight {
        Some(weight) => {
            thousandths(weight, 0.001, 1_000.0).and_then(Weight::of_thousandths).ok_or_else(
                || Invalid::new(at("fairness_weight"), "use a number from 0.001 to 1000"),
            )?
        }
        None => Weight::default(),
    };
    let start_delay = time("start_delay_ms", options.start_delay_ms, 0, TASK_MS_MAX)?;
    let policy = options.retry_policy.as_ref();
    Ok(Terms {
        priority,
        fairness_key,
        fairness_weight,
        start_delay: start_delay.unwrap_or_default(),
        schedule_to_start: timeout(
            "schedule_to_start_timeout_ms",
            options.schedule_to_start_timeout_ms,
        )?,
        start_to_close: timeout("start_to_close_timeout_ms", options.start_to_close_timeout_ms)?,
        schedule_to_close: timeout(
            "schedule_to_close_timeout_ms",
            options.schedule_to_close_timeout_ms,
        )?,
        heartbeat: time("heartbeat_timeout_ms", options.heartbeat_timeout_ms, 100, 3_600_000)?,
        retry: policy.map(|it| retry(&at("retry_policy"), it)).transpose()?,
        wants: wants(field, options)?,
        fan: options.fan_out.map(fan),
        part_of: None,
        skill: None,
    })
}

fn fan(options: FanOut) -> Fan {
    let over = match options.to {
        FanOutTo::Agents => Over::Agents,
        FanOutTo::Regions => Over::Regions,
    };
    let need = match options.until {
        FanOutUntil::All => Need::All,
        FanOutUntil::Quorum => Need::Quorum,
        FanOutUntil::First(count) => Need::First(count),
    };
    Fan { over, need }
}

fn show_fan(fan: Fan) -> FanOut {
    let to = match fan.over {
        Over::Agents => FanOutTo::Agents,
        Over::Regions => FanOutTo::Regions,
    };
    let until = match fan.need {
        Need::All => FanOutUntil::All,
        Need::Quorum => FanOutUntil::Quorum,
        Need::First(count) => FanOutUntil::First(count),
    };
    FanOut { to, until }
}

/// The most regions that are named at once.
const REGIONS_MAX: usize = 64;

/// Checks what is wanted of the agent; `field` is where the options stand.
pub(crate) fn wants(field: &str, options: &TaskOptions) -> Result<Option<Arc<Wants>>, Invalid> {
    let at =
        |name: &str| if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
    let few = |name: &str, all: &[String], max: usize| match all.len() {
        len if max < len => Err(Invalid::new(at(name), format!("give {max} at the most"))),
        _ => Ok(()),
    };
    let skills = options.required_skills.as_deref().unwrap_or_default();
    let regions = options.regions.as_deref().unwrap_or_default();
    few("required_skills", skills, Wants::SKILLS_MAX)?;
    few("regions", regions, REGIONS_MAX)?;
    let skills = (0..).zip(skills);
    let skills = skills.map(|(n, it)| names::skill(&at(&format!("required_skills[{n}]")), it));
    let regions = (0..).zip(regions);
    let regions = regions.map(|(n, it)| names::region(&at(&format!("regions[{n}]")), it));
    let cost_micros_max = match options.max_cost {
        Some(cost) => Some(micros(cost).ok_or_else(|| {
            Invalid::new(at("max_cost"), format!("give a number from 0 to {COST_MAX}"))
        })?),
        None => None,
    };
    let (skills, regions) = (skills.collect::<Result<_, _>>()?, regions.collect::<Result<_, _>>()?);
    let wants = Wants { skills, regions, cost_micros_max };
    Ok(Some(wants).filter(|it| *it != Wants::default()).map(Arc::new))
}

/// Returns an amount in millionths.
pub(crate) fn micros(cost: f64) -> Option<u64> {
    (0.0..=COST_MAX).contains(&cost).then(|| (cost * 1e6).round() as u64)
}

fn retry(field: &str, policy: &RetryPolicy) -> Result<Retry, Invalid> {
    let at = |name: &str| format!("{field}.{name}");
    let usual = Retry::default();
    let time = |name: &str, ms: Option<u64>| match ms {
        Some(ms) if TASK_MS_MAX < ms => {
            Err(Invalid::new(at(name), format!("use 0 to {TASK_MS_MAX} milliseconds")))
        }
        Some(_) | None => Ok(ms.map(Duration::from_millis)),
    };
    let initial_interval = time("initial_interval_ms", policy.initial_interval_ms)?;
    let initial_interval = initial_interval.unwrap_or(usual.initial_interval);
    let longest = time("maximum_interval_ms", policy.maximum_interval_ms)?;
    let backoff_thousandths = match policy.backoff_coefficient {
        Some(coefficient) => thousandths(coefficient, 1.0, 1_000.0).ok_or_else(|| {
            Invalid::new(at("backoff_coefficient"), "use a number from 1 to 1000")
        })?,
        None => usual.backoff_thousandths,
    };
    let maximum_attempts = policy.maximum_attempts.unwrap_or(usual.maximum_attempts);
    if !(1..=1_000).contains(&maximum_attempts) {
        return Err(Invalid::new(at("maximum_attempts"), "use a whole number from 1 to 1000"));
    }
    let most = Duration::from_millis(TASK_MS_MAX);
    let maximum_interval =
        longest.unwrap_or_else(|| initial_interval.saturating_mul(100).min(most));
    let maximum_interval = maximum_interval.max(initial_interval);
    Ok(Retry { initial_interval, backoff_thousandths, maximum_interval, maximum_attempts })
}

/// Returns a number in thousandths, at least one of them.
fn thousandths(number: f64, min: f64, max: f64) -> Option<u32> {
    (min..=max).contains(&number).then(|| (number * 1_000.0).round().max(1.0) as u32)
}

fn texts<T: ToString>(all: impl Iterator<Item = T>) -> Option<Vec<String>> {
    Some(all.map(|it| it.to_string()).collect()).filter(|it: &Vec<String>| !it.is_empty())
}

/// Shows terms as options.
pub(crate) fn show(terms: &Terms) -> TaskOptions {
    let usual = Terms::default();
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (weight, wants) = (terms.fairness_weight, terms.wants.as_ref());
    TaskOptions {
        priority_key: (terms.priority != usual.priority).then(|| terms.priority.get()),
        fairness_key: terms.fairness_key.as_ref().map(ToString::to_string),
        fairness_weight: (weight != usual.fairness_weight)
            .then(|| f64::from(weight.thousandths()) / 1_000.0),
        start_delay_ms: Some(ms(terms.start_delay)).filter(|it| *it != 0),
        schedule_to_start_timeout_ms: terms.schedule_to_start.map(ms),
        start_to_close_timeout_ms: terms.start_to_close.map(ms),
        schedule_to_close_timeout_ms: terms.schedule_to_close.map(ms),
        heartbeat_timeout_ms: terms.heartbeat.map(ms),
        retry_policy: terms.retry.map(|it| RetryPolicy {
            initial_interval_ms: Some(ms(it.initial_interval)),
            backoff_coefficient: Some(f64::from(it.backoff_thousandths) / 1_000.0),
            maximum_interval_ms: Some(ms(it.maximum_interval)),
            maximum_attempts: Some(it.maximum_attempts),
        }),
        required_skills: wants.map(|it| it.skills.iter()).and_then(texts),
        regions: wants.map(|it| it.regions.iter()).and_then(texts),
        max_cost: wants.and_then(|it| it.cost_micros_max).map(|it| it as f64 / 1e6),
        fan_out: terms.fan.map(show_fan),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: serde_json::Value) -> Result<Terms, Invalid> {
        check("options", &serde_json::from_value(value).unwrap())
    }

    #[test]
    fn options_come_back_as_they_were_meant() {
        let all = json!({
            "priority_key": 1, "fairness_key": "acme", "fairness_weight": 2.5,
            "start_delay_ms": 5, "schedule_to_start_timeout_ms": 6,
            "start_to_close_timeout_ms": 7, "schedule_to_close_timeout_ms": 8,
            "heartbeat_timeout_ms": 100,
            "retry_policy": {"initial_interval_ms": 10, "backoff_coefficient": 1.5,
                "maximum_interval_ms": 1_000, "maximum_attempts": 3},
            "required_skills": ["a.b", "c"], "regions": ["eu-west-1"], "max_cost": 0.25,
            "fan_out": {"to": "agents", "until": 3},
        });
        let shown = show(&read(all.clone()).unwrap());
        assert_eq!(serde_json::to_value(&shown).unwrap(), all);
        assert_eq!(terms("options", &TaskOptions::default()), Ok(None));
        let little = json!({"retry_policy": {"initial_interval_ms": 10}});
        let policy = show(&read(little).unwrap()).retry_policy.unwrap();
        assert_eq!((policy.maximum_interval_ms, policy.maximum_attempts), (Some(1_000), Some(10)));
        let long = json!({"retry_policy": {"initial_interval_ms": TASK_MS_MAX}});
        let policy = show(&read(long).unwrap()).retry_policy.unwrap();
        assert_eq!(policy.maximum_interval_ms, Some(TASK_MS_MAX));
    }

    #[test]
    fn many_are_asked_until_a_word_or_a_number() {
        let read = |until| {
            let options = json!({"to": "regions", "until": until});
            serde_json::from_value::<FanOut>(options).map(|it| it.until)
        };
        assert_eq!(read(json!("all")).unwrap(), FanOutUntil::All);
        assert_eq!(read(json!("quorum")).unwrap(), FanOutUntil::Quorum);
        assert_eq!(read(json!(256.0)).unwrap(), FanOutUntil::First(256));
        for wrong in [json!("most"), json!(0), json!(257), json!(1.5), json!(-1), json!(null)] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(error.contains("`quorum`, or a whole number from 1 to 256"), "{error}");
        }
        let all: FanOut = serde_json::from_value(json!({"to": "agents"})).unwrap();
        assert_eq!(all.until, FanOutUntil::All);
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let check = |options: serde_json::Value, field: &str| {
            assert_eq!(read(options).unwrap_err().field, format!("options.{field}"));
        };
        check(json!({"priority_key": 0}), "priority_key");
        check(json!({"priority_key": 6}), "priority_key");
        check(json!({"fairness_key": ""}), "fairness_key");
        check(json!({"fairness_key": "a b"}), "fairness_key");
        check(json!({"fairness_weight": 0.0}), "fairness_weight");
        check(json!({"fairness_weight": -1.0}), "fairness_weight");
        check(json!({"start_delay_ms": TASK_MS_MAX + 1}), "start_delay_ms");
        check(json!({"start_to_close_timeout_ms": 0}), "start_to_close_timeout_ms");
        check(json!({"heartbeat_timeout_ms": 99}), "heartbeat_timeout_ms");
        check(
            json!({"retry_policy": {"backoff_coefficient": 0.9}}),
            "retry_policy.backoff_coefficient",
        );
        check(json!({"retry_policy": {"maximum_attempts": 0}}), "retry_policy.maximum_attempts");
        check(json!({"required_skills": ["a", "a b"]}), "required_skills[1]");
        check(json!({"required_skills": vec!["a"; 17]}), "required_skills");
        check(json!({"regions": ["EU"]}), "regions[0]");
        check(json!({"max_cost": -0.1}), "max_cost");
        check(json!({"max_cost": 1_000_001.0}), "max_cost");
    }
}
