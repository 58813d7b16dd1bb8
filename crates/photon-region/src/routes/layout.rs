//! The topologies that are the same for every origin: which links carry ops.
//! Must not leave a region out that can be reached: what a shape leaves open is mended.

use std::collections::{BTreeMap, BTreeSet};

use photon_state::RegionId;

use super::{Map, Sends, Topology};

/// Links that carry ops.
#[derive(Clone, Debug)]
pub(super) struct Edges {
    count: usize,
    are: Vec<bool>,
}

impl Edges {
    pub(super) fn none(map: &Map) -> Self {
        Self { count: map.len(), are: vec![false; map.len() * map.len()] }
    }

    /// Adds a link, if it is one.
    pub(super) fn add(&mut self, a: usize, b: usize) {
        if a != b {
            self.are[a * self.count + b] = true;
            self.are[b * self.count + a] = true;
        }
    }

    pub(super) fn has(&self, a: usize, b: usize) -> bool {
        self.are[a * self.count + b]
    }

    /// Makes links of all pairs.
    fn add_mesh(&mut self, among: &[usize]) {
        for (index, a) in among.iter().enumerate() {
            among[index + 1..].iter().for_each(|b| self.add(*a, *b));
        }
    }

    /// Forgets links that are down.
    fn retain_up(&mut self, map: &Map) {
        for (a, b) in (0..self.count).flat_map(|a| (0..self.count).map(move |b| (a, b))) {
            self.are[a * self.count + b] &= map.is_up(a, b);
        }
    }
}

/// Regions within this round trip by distance, in microseconds, are a group by proximity: a
/// continent, or half of a large one.
const GROUP_MICROS_MAX: u64 = 80_000;

/// Returns the links of a topology among a group: the members that can be reached.
pub(super) fn edges(topology: &Topology, map: &Map, members: &[usize], group: &[usize]) -> Edges {
    let mut edges = Edges::none(map);
    match topology {
        Topology::Mesh | Topology::Auto => edges.add_mesh(group),
        Topology::Star { hub } => star(map, group, *hub, &mut edges),
        Topology::Ring => ring(map, members, group, &mut edges),
        Topology::Tree { parents } => tree(map, group, parents, &mut edges),
        Topology::Hybrid { groups } => hybrid(map, members, group, groups, &mut edges),
    }
    edges.retain_up(map);
    mend(map, group, &mut edges);
    edges
}

/// The hub is chosen by distance, which does not change with the weather.
fn star(map: &Map, group: &[usize], hub: Option<RegionId>, edges: &mut Edges) {
    let wanted = hub.and_then(|it| map.index(it));
    let nearest = |hub| group.iter().copied().min_by_key(|it| (map.estimate(hub, *it), *it));
    let hub = wanted.and_then(nearest).unwrap_or_else(|| map.centre(group));
    group.iter().for_each(|it| edges.add(hub, *it));
}

/// A tour from nearest neighbour to nearest neighbour by distance: over all members, so that it
/// keeps its order when one of them is away.
fn ring(map: &Map, members: &[usize], group: &[usize], edges: &mut Edges) {
    let mut left: Vec<usize> = members.to_vec();
    let mut tour: Vec<usize> = Vec::new();
    while let Some(next) = left.iter().copied().min_by_key(|it| {
        let last = tour.last().copied().unwrap_or(*it);
        (map.estimate(last, *it), *it)
    }) {
        tour.push(next);
        left.retain(|it| *it != next);
    }
    tour.retain(|it| group.contains(it));
    let next = tour.iter().cycle().skip(1);
    tour.iter().zip(next).for_each(|(a, b)| edges.add(*a, *b));
}

/// Each region and its parent, or the first of its forebears that is in the group.
fn tree(map: &Map, group: &[usize], parents: &BTreeMap<RegionId, RegionId>, edges: &mut Edges) {
    let forebear = |region: usize| {
        let mut at = map.region(region);
        for _ in 0..map.len() {
            at = *parents.get(&at)?;
            if let Some(found) = map.index(at).filter(|it| group.contains(it)) {
                return Some(found);
            }
        }
        None
    };
    let pairs = group.iter().filter_map(|it| Some((*it, forebear(*it)?)));
    pairs.for_each(|(child, parent)| edges.add(child, parent));
}

fn hybrid(
    map: &Map,
    members: &[usize],
    group: &[usize],
    configured: &[BTreeSet<RegionId>],
    edges: &mut Edges,
) {
    let mut gateways: Vec<usize> = Vec::new();
    for mut circle in circles(map, members, configured) {
        circle.retain(|it| group.contains(it));
        if !circle.is_empty() {
            edges.add_mesh(&circle);
            gateways.push(map.centre(&circle));
        }
    }
    edges.add_mesh(&gateways);
}

/// The groups as configured, and those who are in none by proximity: the two groups that are
/// nearest become one, as long as all in it are near to each other.
fn circles(map: &Map, members: &[usize], configured: &[BTreeSet<RegionId>]) -> Vec<Vec<usize>> {
    let of = |names: &BTreeSet<RegionId>| {
        let known = names.iter().filter_map(|it| map.index(*it));
        known.filter(|it| members.contains(it)).collect::<Vec<_>>()
    };
    let mut told: Vec<Vec<usize>> = configured.iter().map(of).collect();
    let lone = members.iter().filter(|it| !told.iter().any(|circle| circle.contains(it)));
    let mut near: Vec<Vec<usize>> = lone.map(|it| vec![*it]).collect();
    let width = |a: &[usize], b: &[usize]| {
        let pairs = a.iter().flat_map(|a| b.iter().map(|b| map.estimate(*a, *b)));
        pairs.max().unwrap_or(0)
    };
    loop {
        let pairs = (0..near.len()).flat_map(|a| (a + 1..near.len()).map(move |b| (a, b)));
        let nearest = pairs.map(|(a, b)| (width(&near[a], &near[b]), a, b)).min();
        let Some((_, a, b)) = nearest.filter(|(width, ..)| *width <= GROUP_MICROS_MAX) else {
            break;
        };
        let other = near.remove(b);
        near[a].extend(other);
    }
    told.append(&mut near);
    told
}

/// Joins what has fallen apart, or was never joined, by the shortest links that do.
fn mend(map: &Map, group: &[usize], edges: &mut Edges) {
    let mut piece: Vec<usize> = (0..map.len()).collect();
    let mut pieces = group.len();
    let mut join = |a: usize, b: usize| {
        let (from, to) = (piece[b], piece[a]);
        piece.iter_mut().filter(|it| **it == from).for_each(|it| *it = to);
        pieces -= usize::from(from != to);
        (from != to, pieces)
    };
    let mut left = Vec::new();
    let mut is_whole = group.len() < 2;
    for (index, a) in group.iter().enumerate() {
        for b in &group[index + 1..] {
            if edges.has(*a, *b) {
                is_whole |= join(*a, *b).1 == 1;
            } else if map.is_up(*a, *b) {
                left.push((map.round_trip(*a, *b), *a, *b));
            }
        }
    }
    if is_whole {
        return;
    }
    left.sort_unstable();
    for (_, a, b) in left {
        if join(a, b).0 {
            edges.add(a, b);
        }
    }
}

/// Returns the tree of the fastest ways from a root along links, as who sends to whom, and when
/// an op arrives at each region, in microseconds: first those who have it first.
pub(super) fn fastest(
    map: &Map,
    group: &[usize],
    edges: &Edges,
    root: usize,
) -> (Sends, Vec<(u64, usize)>) {
    let (mut sends, mut arrived) = (Vec::new(), vec![(0, root)]);
    // The fastest way so far to each that is left: its time, where it leads, and who sends.
    let others = group.iter().filter(|it| **it != root);
    let mut left: Vec<(u64, usize, usize)> = others.map(|it| (u64::MAX, *it, root)).collect();
    let (mut at, mut last) = (0, root);
    loop {
        for way in left.iter_mut().filter(|(_, to, _)| edges.has(last, *to)) {
            *way = (*way).min((at + map.hop(last, way.1), way.1, last));
        }
        let next = left.iter().enumerate().min_by_key(|(_, way)| **way);
        let Some((index, (time, to, from))) = next.map(|(index, way)| (index, *way)) else { break };
        if time == u64::MAX {
            break;
        }
        left.swap_remove(index);
        arrived.push((time, to));
        sends.push((from, to));
        (at, last) = (time, to);
    }
    sends.sort_unstable();
    (sends, arrived)
}
