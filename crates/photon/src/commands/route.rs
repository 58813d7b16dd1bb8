//! `photon route explain`: who would be given a task, and why.
//! Must not weigh anything: the region does.

use anyhow::Result;
use photon_edge::v1::types::{Route, RouteCandidate, RouteStanding};

use super::show;
use crate::cli;
use crate::client::{Client, RouteQuery};
use crate::exit::Exit;
use crate::output::{Cell, Output, Table, Tone};

pub(super) async fn run(command: cli::Route, client: &Client, output: Output) -> Result<Exit> {
    let cli::Route::Explain(options) = command;
    let there = match options.from {
        Some(region) => Some(client.region(region).await?),
        None => None,
    };
    let query = RouteQuery {
        skill: options.skill,
        agent: options.agent,
        placement: options.placement.map(|it| it.to_string()),
        required_skills: options.wants.require,
        regions: options.wants.agent_regions.iter().map(ToString::to_string).collect(),
        max_cost: options.wants.max_cost,
        limit: options.limit,
    };
    let route = there.as_ref().unwrap_or(client).route(&query).await?;
    show(output, &route, |it| {
        output.line(&headline(it))?;
        output.table(&table(it))
    })
}

fn headline(route: &Route) -> String {
    let of = match (route.candidates.len() as u64, route.count) {
        (_, 0) => return format!("nobody offers this, as far as {} knows", route.region),
        (listed, count) if listed < count => format!("{listed} of {count} candidates"),
        (_, 1) => "1 candidate".to_owned(),
        (_, count) => format!("{count} candidates"),
    };
    match &route.chosen {
        Some(agent) => format!("{agent} is chosen by {}, of {of}", route.region),
        None => format!("none of {of} could be given a task of {} now", route.region),
    }
}

fn table(route: &Route) -> Table {
    let it = &route.weights;
    let sum = f64::from(it.proximity) + f64::from(it.capacity);
    let sum = sum + f64::from(it.latency) + f64::from(it.cost);
    let head = |name: &str, weight: u16| {
        let most = if sum == 0.0 { 0.0 } else { 100.0 * f64::from(weight) / sum };
        format!("{name}/{most:.0}")
    };
    let heads = [
        "AGENT".to_owned(),
        "REGION".to_owned(),
        "STANDING".to_owned(),
        "SCORE".to_owned(),
        head("NEAR", it.proximity),
        head("FREE", it.capacity),
        head("FAST", it.latency),
        head("CHEAP", it.cost),
        "TRIP".to_owned(),
        "TASKS".to_owned(),
        "SUCCESS".to_owned(),
        "P95".to_owned(),
        "COST".to_owned(),
    ];
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    let mut table = Table::new(&heads);
    for it in &route.candidates {
        table.row(row(it, route.chosen.as_deref()));
    }
    table
}

fn row(it: &RouteCandidate, chosen: Option<&str>) -> [Cell; 13] {
    let point = |it: f64| Cell::from(format!("{it:.1}"));
    let none = || "-".to_owned();
    let agent = if chosen == Some(it.agent.as_str()) {
        Cell::toned(Tone::Strong, &it.agent)
    } else {
        it.agent.as_str().into()
    };
    [
        agent,
        it.region.as_str().into(),
        standing(it.standing),
        point(it.score),
        point(it.points.proximity),
        point(it.points.capacity),
        point(it.points.latency),
        point(it.points.cost),
        format!("{:.0} ms", it.round_trip_ms).into(),
        format!("{}/{}", it.in_use, it.capacity).into(),
        it.success_rate.map_or_else(none, |it| format!("{:.0} %", it * 100.0)).into(),
        it.p95_ms.map_or_else(none, |it| format!("{it} ms")).into(),
        format!("{}", it.cost).into(),
    ]
}

fn standing(it: RouteStanding) -> Cell {
    let (tone, text) = match it {
        RouteStanding::Fit => (Tone::Good, "fit"),
        RouteStanding::PathBad => (Tone::Odd, "last: path is bad"),
        RouteStanding::RegionDegraded => (Tone::Odd, "last: region is not well"),
        RouteStanding::Full => (Tone::Odd, "no: full"),
        RouteStanding::Resting => (Tone::Odd, "no: turned work down"),
        RouteStanding::RegionAway => (Tone::Bad, "no: region is away"),
        RouteStanding::Offline => (Tone::Bad, "no: offline"),
        RouteStanding::RegionOutside => (Tone::Bad, "no: region is outside"),
        RouteStanding::LacksSkill => (Tone::Bad, "no: lacks a skill"),
        RouteStanding::RegionUnwanted => (Tone::Bad, "no: not in this region"),
        RouteStanding::TooDear => (Tone::Bad, "no: asks too much"),
        RouteStanding::Confined => (Tone::Bad, "no: may not be known"),
    };
    Cell::toned(tone, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Colour;

    #[test]
    fn the_chosen_one_comes_with_what_each_term_brings() {
        let json = r#"{"region":"a","placement":"global","chosen":"near","count":3,
            "weights":{"proximity":4,"capacity":3,"latency":2,"cost":1},
            "candidates":[
                {"agent":"near","region":"a","standing":"fit","score":85.5,
                 "points":{"proximity":40,"capacity":22.5,"latency":13,"cost":10},
                 "round_trip_ms":0,"in_use":1,"capacity":4,"success_rate":1,"p95_ms":120,
                 "cost":0},
                {"agent":"far","region":"b","standing":"offline","score":50,
                 "points":{"proximity":10,"capacity":30,"latency":10,"cost":0},
                 "round_trip_ms":225.4,"in_use":0,"capacity":4,"cost":0.25}]}"#;
        let route: Route = serde_json::from_str(json).unwrap();
        assert_eq!(headline(&route), "near is chosen by a, of 2 of 3 candidates");
        let shown = table(&route).render(Colour::Off);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = shown.lines().map(words).collect();
        let expected = [
            "AGENT REGION STANDING SCORE NEAR/40 FREE/30 FAST/20 CHEAP/10 TRIP TASKS SUCCESS P95 \
             COST",
            "near a fit 85.5 40.0 22.5 13.0 10.0 0 ms 1/4 100 % 120 ms 0",
            "far b no: offline 50.0 10.0 30.0 10.0 0.0 225 ms 0/4 - - 0.25",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_headline_says_why_nobody_is_chosen() {
        let check = |chosen: Option<&str>, count, expected| {
            let json = serde_json::json!({"region": "a", "placement": "global", "chosen": chosen,
                "count": count, "candidates": [],
                "weights": {"proximity": 0, "capacity": 0, "latency": 0, "cost": 0}});
            assert_eq!(headline(&serde_json::from_value(json).unwrap()), expected);
        };
        check(None, 0, "nobody offers this, as far as a knows");
        check(None, 2, "none of 0 of 2 candidates could be given a task of a now");
    }
}
