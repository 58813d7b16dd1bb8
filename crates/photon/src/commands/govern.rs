//! `photon planet show` and `voters`; `photon region drain`, `undrain`, `rebalance`, `add`, `rm`:
//! what all regions agree on.
//! Must not decide anything: the regions do.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use photon_edge::v1::types::{MemberPost, Planet, PlanetMember, VotersPut};
use tokio::time::sleep;

use super::show;
use crate::cli::{RegionLeaver, RegionMember, Voters};
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Cell, Output, Table, Tone};

/// How often it is asked whether homes have taken over.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// After what time homes should have taken over; it goes on without the command.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

pub(super) async fn planet(client: &Client, output: Output) -> Result<Exit> {
    print(&client.planet().await?, output)
}

pub(super) async fn voters(options: &Voters, client: &Client, output: Output) -> Result<Exit> {
    let Voters { voters, force } = options;
    if *force {
        let text = "voters that are left out must not be started with their old folders, unless a \
                    majority of the former ones agrees to this";
        output.remark_as(Tone::Odd, "warning:", text);
    }
    let voters = voters.iter().map(ToString::to_string).collect();
    let planet = client.put_voters(&VotersPut { voters, force: *force }).await?;
    print(&planet, output)
}

pub(super) async fn drain(options: &RegionLeaver, client: &Client, output: Output) -> Result<Exit> {
    let RegionLeaver { region, force } = options;
    let planet = client.drain(region.as_str(), *force).await?;
    let left = planet.members.iter().find(|it| it.region == region.as_str());
    if let Some(left) = left.filter(|it| 0 < it.shards) {
        let text = format!("{} shards have no other home than `{region}`", left.shards);
        output.remark_as(Tone::Odd, "warning:", &text);
    }
    print(&settle(planet, client, output).await?, output)
}

pub(super) async fn undrain(it: &RegionMember, client: &Client, output: Output) -> Result<Exit> {
    print(&client.undrain(it.region.as_str()).await?, output)
}

pub(super) async fn adopt(client: &Client, output: Output) -> Result<Exit> {
    let planet = client.adopt().await?;
    print(&settle(planet, client, output).await?, output)
}

pub(super) async fn rebalance(client: &Client, output: Output) -> Result<Exit> {
    let planet = client.rebalance().await?;
    print(&settle(planet, client, output).await?, output)
}

pub(super) async fn add(it: &RegionMember, client: &Client, output: Output) -> Result<Exit> {
    let planet = client.add_member(&MemberPost { region: it.region.to_string() }).await?;
    output.remark(&format!(
        "`{}` gets its share of the homes by `photon region rebalance`",
        it.region
    ));
    print(&planet, output)
}

pub(super) async fn remove(it: &RegionLeaver, client: &Client, output: Output) -> Result<Exit> {
    let RegionLeaver { region, force } = it;
    if *force {
        let text = format!("what only `{region}` has is lost with it");
        output.remark_as(Tone::Odd, "warning:", &text);
    }
    let planet = client.remove_member(region.as_str(), *force).await?;
    output
        .remark(&format!("take `{region}` out of the configuration of every region, and stop it"));
    print(&settle(planet, client, output).await?, output)
}

/// Waits until all who live have taken over what they became the home of.
async fn settle(mut planet: Planet, client: &Client, output: Output) -> Result<Planet> {
    let began = Instant::now();
    let mut told = usize::MAX;
    loop {
        let open = |it: &&PlanetMember| !it.is_settled && !it.is_down;
        let open: Vec<_> =
            planet.members.iter().filter(open).map(|it| it.region.as_str()).collect();
        if open.is_empty() {
            return Ok(planet);
        }
        if SETTLED_WITHIN < began.elapsed() {
            bail!(
                "all agree, but after {} s these have not taken over yet: {}; \
                 `photon planet show` says when they have",
                SETTLED_WITHIN.as_secs(),
                open.join(", "),
            );
        }
        if open.len() < told {
            told = open.len();
            output.remark(&format!("agreed; taking over: {}", open.join(", ")));
        }
        sleep(ASK_EVERY).await;
        planet = client.planet().await?;
    }
}

fn print(planet: &Planet, output: Output) -> Result<Exit> {
    show(output, planet, |it| {
        output.line(&headline(it))?;
        output.table(&table(it))?;
        if it.placements.is_empty() { Ok(()) } else { output.table(&placements(it)) }
    })
}

fn headline(planet: &Planet) -> String {
    let leader = planet.leader.as_deref().map_or_else(
        || "nobody leads: no majority of the voters is heard".to_owned(),
        |it| format!("{it} leads"),
    );
    format!("decree {}, as {} has it; {leader}", planet.decree, planet.here)
}

fn placements(planet: &Planet) -> Table {
    let mut table = Table::new(&["PLACEMENT", "HERE", "REGIONS"]);
    for it in &planet.placements {
        let (tone, here) = match it.is_configured {
            true => (Tone::Good, "the same"),
            false => (Tone::Bad, "differs"),
        };
        table.row([
            Cell::toned(Tone::Strong, &it.placement),
            Cell::toned(tone, here),
            it.regions.join(", ").into(),
        ]);
    }
    table
}

fn table(planet: &Planet) -> Table {
    let mut table = Table::new(&["REGION", "STANDING", "VOTES", ">SHARDS", "HOMES"]);
    for it in &planet.members {
        let (tone, standing) = match (it.is_down, it.is_draining) {
            (true, true) => (Tone::Bad, "down, draining"),
            (true, false) => (Tone::Bad, "down"),
            (false, true) => (Tone::Odd, "draining"),
            (false, false) => (Tone::Good, "up"),
        };
        let homes = match (it.shards, it.is_settled) {
            (0, _) => "-",
            (_, true) => "taken over",
            (_, false) => "taking over",
        };
        table.row([
            Cell::toned(Tone::Strong, &it.region),
            Cell::toned(tone, standing),
            if it.is_voter { "yes" } else { "-" }.into(),
            it.shards.to_string().into(),
            homes.into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use photon_edge::v1::types::PlanetPlacement;

    use super::*;
    use crate::output::Colour;

    #[test]
    fn a_planet_is_shown_with_what_each_member_is_to_it() {
        let member =
            |region: &str, [is_voter, is_down, is_settled]: [bool; 3], shards| PlanetMember {
                region: region.to_owned(),
                is_voter,
                is_down,
                is_draining: is_down,
                is_settled,
                shards,
            };
        let members = vec![
            member("a", [true, false, false], 512),
            member("b", [true, false, true], 512),
            member("c", [false, true, false], 0),
        ];
        let (here, leader) = ("a".to_owned(), Some("b".to_owned()));
        let eu = PlanetPlacement {
            placement: "eu".to_owned(),
            regions: vec!["a".to_owned(), "b".to_owned()],
            is_configured: false,
        };
        let planet = Planet { here, decree: 7, leader, members, placements: vec![eu] };
        assert_eq!(headline(&planet), "decree 7, as a has it; b leads");
        let expected = "REGION  STANDING        VOTES  SHARDS  HOMES\n\
                        a       up              yes       512  taking over\n\
                        b       up              yes       512  taken over\n\
                        c       down, draining  -           0  -\n";
        assert_eq!(table(&planet).render(Colour::Off), expected);
        let expected = "PLACEMENT  HERE     REGIONS\neu         differs  a, b\n";
        assert_eq!(placements(&planet).render(Colour::Off), expected);
    }
}
