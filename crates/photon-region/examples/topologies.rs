//! Measures topologies on an imagined planet with measured round trips:
//! `cargo run --release -p photon-region --example topologies -- PAIRS.csv`, whose lines begin
//! with `name,name,milliseconds`. Must not be mistaken for a test.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring tool, not the machine"
)]

#[path = "../tests/world/mod.rs"]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use photon_region::data::WriteLevel;
use photon_region::{Place, Topology};
use photon_state::{PlacementId, RegionId};
use world::{Micros, Passed, Planet, World};

/// The regions, as the file names them, and where they are.
const REGIONS: [(&str, f64, f64); 12] = [
    ("East US", 37.4, -79.0),
    ("West US 2", 47.2, -119.9),
    ("Canada Central", 43.7, -79.4),
    ("Brazil South", -23.6, -46.6),
    ("North Europe", 53.3, -6.3),
    ("Germany West Central", 50.1, 8.7),
    ("South Africa North", -25.7, 28.2),
    ("UAE North", 25.3, 55.3),
    ("Central India", 18.6, 73.9),
    ("Southeast Asia", 1.3, 103.8),
    ("Japan East", 35.7, 139.8),
    ("Australia East", -33.9, 151.2),
];

/// Links with a longer round trip are far: they cross an ocean, or cost as if they did.
const FAR: Micros = 100_000;
const WRITES_A_SECOND: u64 = 20;
const SECONDS: u64 = 30;
const VALUE_BYTES: usize = 1_000;

fn main() {
    let path = std::env::args().nth(1).expect("give the file of round trips");
    let planet = planet(&std::fs::read_to_string(path).unwrap());
    println!("{:<8} {:>9} {:>9} {:>9} {:>8}", "", "ops MB", "far MB", "all MB", "twice %");
    println!("{:<8} visible after ms: mean, p50, p95, p99, most; `strong` p50, p99", "");
    for name in Topology::NAMES {
        measure(&planet, &Topology::named(name).unwrap());
    }
}

fn planet(text: &str) -> Planet {
    let mut trips: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let mut cells = line.split(',');
        let (a, b, ms) = (cells.next().unwrap(), cells.next().unwrap(), cells.next().unwrap());
        let ms: f64 = ms.parse().unwrap();
        trips.extend([((a, b), ms), ((b, a), ms)]);
    }
    let one_way = |a: &str, b: &str| {
        let ms = if a == b { 0.0 } else { *trips.get(&(a, b)).expect("the file has every pair") };
        (ms * 500.0) as Micros
    };
    let name =
        |text: &str| RegionId::try_from(text.to_lowercase().replace(' ', "-").as_str()).unwrap();
    let row = |a: &str| REGIONS.iter().map(|(b, ..)| one_way(a, b)).collect();
    Planet {
        names: REGIONS.iter().map(|(it, ..)| name(it)).collect(),
        places: REGIONS.map(|(_, latitude, longitude)| Place { latitude, longitude }).to_vec(),
        one_way: REGIONS.iter().map(|(a, ..)| row(a)).collect(),
        placements: BTreeMap::new(),
    }
}

fn measure(planet: &Planet, topology: &Topology) {
    let count = REGIONS.len();
    let mut world = World::new(planet, |_| topology.clone());
    world.pass(Duration::from_secs(15));
    let dataset = world.declare(0, PlacementId::global());
    let (before, received) = (world.passed.clone(), world.sum(|it| it.received));
    world.seen_after.clear();
    let mut asked = BTreeMap::new();
    let pause = Duration::from_micros(1_000_000 / WRITES_A_SECOND / count as u64);
    for turn in 0..SECONDS * WRITES_A_SECOND {
        for here in 0..count {
            let level = if turn % 20 == 0 { WriteLevel::Strong } else { WriteLevel::Eventual };
            let at = world.now;
            let ticket = world.write(here, &dataset, vec![b'x'; VALUE_BYTES].into(), level);
            if level == WriteLevel::Strong {
                asked.insert(ticket, at);
            }
            world.pass(pause);
        }
    }
    world.pass(Duration::from_secs(2));
    let mut all = Passed::default();
    let mut far = 0;
    for (a, b) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
        let (now, then) = (&world.passed[a][b], &before[a][b]);
        all.bytes += now.bytes - then.bytes;
        all.op_bytes += now.op_bytes - then.op_bytes;
        far += if FAR <= 2 * planet.one_way[a][b] { now.op_bytes - then.op_bytes } else { 0 };
    }
    let received = world.sum(|it| it.received) - received;
    let twice = 100.0 * world.sum(|it| it.repeated) as f64 / received as f64;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    let (name, ops, bytes) = (topology.name(), mb(all.op_bytes), mb(all.bytes));
    println!("{name:<8} {ops:>9.1} {:>9.1} {bytes:>9.1} {twice:>8.2}", mb(far));
    let seen: Vec<Micros> = world.seen_after.iter().map(|(.., after)| *after).collect();
    let strong = asked.iter().map(|(ticket, at)| world.replies[ticket].0 - at).collect();
    let [mean, p50, p95, p99, most] = quantiles(seen);
    let [_, strong, _, strong_p99, _] = quantiles(strong);
    println!(
        "{:<8} {mean:.0}, {p50:.0}, {p95:.0}, {p99:.0}, {most:.0}; {strong:.0}, {strong_p99:.0}",
        ""
    );
}

/// Returns the mean, the median, two quantiles and the greatest, in milliseconds.
fn quantiles(mut all: Vec<Micros>) -> [f64; 5] {
    all.sort_unstable();
    let at = |share: f64| all[((all.len() - 1) as f64 * share) as usize] as f64 / 1e3;
    let mean = all.iter().sum::<Micros>() as f64 / all.len() as f64 / 1e3;
    [mean, at(0.5), at(0.95), at(0.99), at(1.0)]
}
