//! The plan of a planet on one machine: which region listens where, and is told what.
//! Must not touch files, ports or processes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use photon_edge::PushTargets;
use photon_region::{Place, Topology};
use photon_state::{PlacementId, RegionId};

use super::certificates;
use super::folder::Folder;
use crate::catalog;
use crate::cli;
use crate::config::{Config, PlanetName, REGIONS_MAX, Secret, Site};
use crate::exit::UsageError;
use crate::wan::{Delays, Route};

/// Ports of one region: its front door, its links, and some to spare.
const PORTS_OF_REGION: u16 = 10;

/// What `up` will carry out.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The regions, in the order of their ports.
    pub(super) order: Vec<RegionId>,
    config: Config,
}

impl Plan {
    /// Makes a plan of what the user asked for.
    pub(super) fn make(options: &cli::Up, secret: Secret) -> Result<Self, UsageError> {
        let order = options.regions.clone();
        if REGIONS_MAX < order.len() {
            let text = format!("{} regions are too many: {REGIONS_MAX} at most", order.len());
            return Err(UsageError(text));
        }
        let mut sites = BTreeMap::new();
        for (i, region) in (0_u16..).zip(&order) {
            let site = Self::site(*region, options.base_port, i)?;
            if sites.insert(*region, site).is_some() {
                return Err(UsageError(format!("--regions names `{region}` twice")));
            }
        }
        let planet = PlanetName::try_from("dev").expect("a constant that parses");
        let mut config = Config::new(planet, sites);
        config.links.secret = Some(secret);
        // A planet on one machine has its clients there, too.
        config.push_targets = PushTargets::Any;
        let topology = Topology::named(&options.topology);
        config.links.topology = topology.expect("the command line takes known names only");
        for placement in &options.placements {
            Self::add_placement(&mut config, placement)?;
        }
        Ok(Self { order, config })
    }

    fn site(region: RegionId, base_port: u16, i: u16) -> Result<Site, UsageError> {
        let Some(known) = catalog::find(region.as_str()) else {
            let hint = match catalog::suggest(region.as_str()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => {
                    let all: Vec<_> = catalog::ALL.iter().map(|it| it.name).collect();
                    format!("it has: {}", all.join(", "))
                }
            };
            return Err(UsageError(format!("the catalog has no region `{region}`; {hint}")));
        };
        let port = |offset| {
            let port =
                base_port.checked_add(i.checked_mul(PORTS_OF_REGION)?)?.checked_add(offset)?;
            Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        };
        let ports = port(0).zip(port(1)).filter(|_| 0 < base_port);
        let Some((api, link)) = ports else {
            let text = format!(
                "there is no port for `{region}`: with --base-port {base_port} it would be beyond \
                 65535 or 0"
            );
            return Err(UsageError(text));
        };
        Ok(Site::known(known, api, link))
    }

    fn add_placement(config: &mut Config, placement: &cli::Placement) -> Result<(), UsageError> {
        let cli::Placement { name, regions } = placement;
        if *name == PlacementId::global() {
            let text = "--placement global is always all regions: choose another name";
            return Err(UsageError(text.to_owned()));
        }
        for region in regions {
            if !config.regions.contains_key(region) {
                let text = format!("--placement {name} names `{region}`, which --regions does not");
                return Err(UsageError(text));
            }
        }
        let members = regions.iter().copied().collect();
        if config.placements.insert(*name, members).is_some() {
            return Err(UsageError(format!("--placement {name} is given twice")));
        }
        Ok(())
    }

    /// Returns what the relay does for the links, if they are delayed.
    pub(super) fn routes(&self, delays: &Delays) -> Vec<Route> {
        let pairs = self.order.iter().flat_map(|a| self.order.iter().map(move |b| (*a, *b)));
        let route = |(from, to): (RegionId, RegionId)| {
            let (target, round_trip) = (self.site_of(to).link, delays.round_trip(from, to));
            Route { from, to, target, round_trip }
        };
        pairs.filter(|(from, to)| from != to).map(route).collect()
    }

    /// Returns the planet's name.
    pub(super) fn planet(&self) -> PlanetName {
        self.config.planet
    }

    /// Returns where each region lies.
    pub(super) fn places(&self) -> BTreeMap<RegionId, Place> {
        self.config.regions.iter().map(|(name, site)| (*name, site.place)).collect()
    }

    /// Returns where a region of the plan is.
    pub(super) fn site_of(&self, region: RegionId) -> &Site {
        &self.config.regions[&region]
    }

    /// Returns what a region is told. `via` is where it dials for the others.
    pub(super) fn config_of(
        &self,
        region: RegionId,
        folder: &Folder,
        via: BTreeMap<RegionId, SocketAddr>,
    ) -> Config {
        let mut config = self.config.clone();
        config.data = Some(folder.region(region));
        config.links.via = via;
        config.links.tls = Some(certificates::paths(&folder.certificates(), region));
        config.card_key = Some(folder.card_key());
        config
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn make(args: &[&str]) -> Result<Plan, String> {
        let cli = cli::Cli::try_parse_from([&["photon", "up"], args].concat()).unwrap();
        let cli::Command::Up(options) = cli.command else { panic!("another command") };
        let secret = Secret::new("a secret of this test").unwrap();
        Plan::make(&options, secret).map_err(|error| error.to_string())
    }

    #[test]
    fn each_region_has_ten_ports_and_is_told_of_the_others() {
        let plan = make(&["--base-port", "9000", "--placement", "eu=eu-west-1"]).unwrap();
        let apis: Vec<_> = plan.order.iter().map(|it| plan.site_of(*it).api.port()).collect();
        let links: Vec<_> = plan.order.iter().map(|it| plan.site_of(*it).link.port()).collect();
        assert_eq!((apis, links), (vec![9000, 9010, 9020], vec![9001, 9011, 9021]));

        let routes = plan.routes(&Delays::from_distances(&plan.places()));
        assert_eq!(routes.len(), 6);
        assert!(routes.iter().all(|it| it.target == plan.site_of(it.to).link));

        let folder = Folder::choose(Some("/planet".as_ref())).unwrap();
        let config = plan.config_of(plan.order[1], &folder, BTreeMap::new());
        assert_eq!(config.data, Some("/planet/eu-west-1".into()));
        let text = config.to_toml().unwrap();
        assert_eq!(Config::parse("photon.toml", &text).unwrap(), config);
    }

    #[test]
    fn every_region_is_told_the_topology_that_was_asked_for() {
        let folder = Folder::choose(Some("/planet".as_ref())).unwrap();
        for name in Topology::NAMES {
            let plan = make(&["--topology", name]).unwrap();
            let config = plan.config_of(plan.order[2], &folder, BTreeMap::new());
            assert_eq!(config.links.topology.name(), name);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_fix() {
        let check = |args: &[&str], expected| {
            let error = make(args).unwrap_err();
            assert!(error.contains(expected), "{error}");
        };
        check(&["--regions", "eu-wset-1"], "did you mean `eu-west-1`?");
        check(&["--regions", "mars"], "it has: us-east-1, ");
        check(&["--regions", "eu-west-1,eu-west-1"], "twice");
        check(&["--base-port", "65530"], "no port for `eu-west-1`");
        check(&["--placement", "x=eu-north-1"], "names `eu-north-1`");
        check(&["--placement", "global=eu-west-1"], "always all regions");
    }
}
