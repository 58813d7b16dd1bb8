//! Whether regions that fall silent are judged down in time, and only they.
//! Must not judge by itself who is silent: `hearing` says what faults explain.

use photon_region::{PeerVerdict, Region};

use crate::clock::{MS, Micros};
use crate::hearing::Hearing;
use crate::planet::{Event, Planet};
use crate::promises::{Broken, Promise};

/// What each region was last seen to think of each other one.
#[derive(Debug)]
pub(crate) struct Verdicts {
    /// Which regions each one knows to be members, one bit for each; a dead one knows none.
    members: Vec<u32>,
    /// When that changed last.
    settled: Vec<Micros>,
    /// The last decree of which each one knows that somebody was out, or home of less: whoever was
    /// back and out again between two looks has voted in between.
    lost: Vec<u64>,
    /// When a region (the first index) last did not count another one as a member, and the decree
    /// by which that was so: it may have been out and back between two looks.
    joined: Vec<Vec<(Micros, u64)>>,
    /// Whom each region judged down by votes.
    down: Vec<u32>,
    /// Of which dead regions each one has noticed in time that they are.
    noticed: Vec<u32>,
}

impl Verdicts {
    /// How often somebody looks.
    const LOOK_EVERY: Micros = 50 * MS;
    /// When a region of one sender is voted against at the latest, after the last that was heard of
    /// it: the timeout of 900 ms, by a clock that may run too slow by a fiftieth.
    const TIMEOUT: Micros = 919 * MS;
    /// The same of one that was never heard, after a region has begun to live.
    const FIRST_WITHIN: Micros = 2_041 * MS;
    /// How long a region that was stalled casts no vote: 400 ms, by such a clock.
    const GRACE: Micros = 409 * MS;
    /// How long until a vote counts elsewhere, if nothing is lost or late: a beat of 100 ms, as one
    /// that was sent before may come after it, the way of the next one, and a moment.
    const VOICE: Micros = 105 * MS + Hearing::TRIP_MAX + 15 * MS;
    /// How long a silence may still be held against a region once it is over: the last votes are
    /// under way for 0.6 s (three times the longest path, and jitter) and count for 0.5 s, and then
    /// the region has to be heard for 0.5 s; by such a clock.
    const HELD_AGAINST: Micros = 1_700 * MS;

    /// Begins when nobody thinks anything.
    pub(crate) fn new(count: usize) -> Self {
        Self {
            members: vec![0; count],
            settled: vec![0; count],
            lost: vec![0; count],
            joined: vec![vec![(0, 0); count]; count],
            down: vec![0; count],
            noticed: vec![0; count],
        }
    }

    /// Takes in whom a region knows to be members.
    fn know(&mut self, now: Micros, here: usize, members: &[(usize, u64)], lost: u64) {
        let before = (self.members[here], self.lost[here]);
        self.members[here] = members.iter().map(|(it, _)| 1 << it).sum();
        self.lost[here] = lost;
        let mut is_settled = before == (self.members[here], lost);
        for (other, decree) in members {
            let joined = &mut self.joined[here][*other];
            if before.0 >> other & 1 == 0 || joined.1 != *decree {
                (*joined, is_settled) = ((now, *decree), false);
            }
        }
        if !is_settled {
            self.settled[here] = now;
        }
    }

    /// Returns who votes where a region counts: itself too, whatever is agreed of it.
    fn voters(&self, here: usize) -> u32 {
        self.members[here] | 1 << here
    }
}

/// Returns the sites in a set.
fn each(set: u32) -> impl Iterator<Item = usize> {
    (0..u32::BITS as usize).filter(move |it| set >> it & 1 == 1)
}

/// Returns how many are more than half of a set.
fn majority(set: u32) -> usize {
    set.count_ones() as usize / 2 + 1
}

impl Planet<'_, '_> {
    /// Lets somebody look at all verdicts, again and again.
    pub(crate) fn begin_watching(&mut self) {
        self.queue.put(self.now + Verdicts::LOOK_EVERY, Event::Watch);
    }

    /// Looks at what every region thinks of every other one.
    pub(crate) fn watch(&mut self) -> Result<(), Broken> {
        self.begin_watching();
        self.look_at_paths();
        self.look_at_outages();
        for here in 0..self.sites.len() {
            let members = self.sites[here].machine.iter().flat_map(Region::members);
            let members = members.map(|(it, decree)| (self.atlas.site(it), decree));
            let lost = self.sites[here].machine.as_ref().map_or(0, Region::last_loss);
            self.verdicts.know(self.now, here, &members.collect::<Vec<_>>(), lost);
        }
        for here in each(self.running()) {
            let down = self.judged_down(here);
            each(down).try_for_each(|there| self.check_down(here, there))?;
            self.verdicts.down[here] = down;
            self.check_dead(here)?;
        }
        Ok(())
    }

    /// Returns the sites that live and do not stand still.
    fn running(&self) -> u32 {
        let is_running = |it: &usize| !self.is_still(*it);
        each(self.alive()).filter(is_running).map(|it| 1 << it).sum()
    }

    /// Takes in which paths carry nothing.
    fn look_at_paths(&mut self) {
        let (now, alive) = (self.now, self.alive());
        for from in 0..self.sites.len() {
            for to in (0..self.sites.len()).filter(|to| *to != from) {
                let both_live = alive >> from & alive >> to & 1 == 1;
                let is_session = *self.net.linked(from, to) && *self.net.linked(to, from);
                if !both_live || !is_session {
                    self.hearing.part(now, from, to);
                } else if self.net.is_cut(now, from, to) || self.is_still(from) || self.is_still(to)
                {
                    self.hearing.disturb(now, from, to);
                }
                self.hearing.look(now, from, to);
            }
        }
    }

    /// Returns whom a region judges down by votes; whom all have agreed to be out is not judged.
    fn judged_down(&self, here: usize) -> u32 {
        let Some(machine) = &self.sites[here].machine else { return 0 };
        let is_down = |it: &usize| machine.verdict_on(self.atlas.ids[*it]) == PeerVerdict::Down;
        each(self.verdicts.members[here]).filter(is_down).map(|it| 1 << it).sum()
    }

    /// A region is judged down only if most members may have had reason to.
    fn check_down(&self, here: usize, of: usize) -> Result<(), Broken> {
        let over = |since: Micros| since + Verdicts::HELD_AGAINST <= self.now;
        let is_settled = over(self.verdicts.settled[here]) && over(self.hearing.roused(here));
        let voters = self.verdicts.voters(here);
        let others = voters & !(1 << of);
        let clear = each(others).filter(|it| over(self.hearing.silenced(*it, of))).count();
        let cut = others.count_ones() as usize - clear;
        if !is_settled || majority(voters) <= cut {
            return Ok(());
        }
        let is_new = self.verdicts.down[here] >> of & 1 == 0;
        // It takes a sign of life to take a verdict back.
        let is_heard = match here == of {
            true => majority(voters) <= clear,
            false => over(self.hearing.silenced(here, of)),
        };
        Promise::Detection.holds(!is_new && !is_heard, || {
            let (here, of) = (self.atlas.ids[here], self.atlas.ids[of]);
            let all = voters.count_ones();
            format!("{here} judges {of} down, and only {cut} of {all} had reason to")
        })
    }

    /// A region that is dead is judged down once most members that are heard must have said so.
    fn check_dead(&mut self, here: usize) -> Result<(), Broken> {
        let dead = self.verdicts.members[here] & !self.alive();
        let must = each(dead).filter(|it| self.must_know(here, *it));
        let must: u32 = must.map(|it| 1 << it).sum();
        let down = self.verdicts.down[here];
        Promise::Detection.holds(must & !down == 0, || {
            let name = |it: usize| self.atlas.ids[it];
            let unseen: Vec<_> = each(must & !down).map(name).collect();
            format!("{} should know from most others that {unseen:?} are dead", name(here))
        })?;
        let before = self.verdicts.noticed[here];
        self.report.noticed += u64::from((must & !before).count_ones());
        self.verdicts.noticed[here] = must | before & dead;
        Ok(())
    }

    /// Whether most members must have told a region that another one is dead.
    fn must_know(&self, here: usize, dead: usize) -> bool {
        let verdicts = &self.verdicts;
        let voters = verdicts.voters(here) & self.running();
        let tells = |by: &usize| {
            let hearing = &self.hearing;
            let silent = hearing.last_words(dead, *by).max(verdicts.joined[*by][dead].0);
            let first = hearing.born(*by) + Verdicts::FIRST_WITHIN;
            let votes = first.max(silent + Verdicts::TIMEOUT);
            let votes = votes.max(hearing.roused(*by) + Verdicts::GRACE);
            // Votes about whom a region does not count as a member yet say nothing to it.
            let joined = verdicts.joined[here][*by].0.max(verdicts.joined[here][dead].0);
            let passes = hearing.disturbed(*by, here).max(joined);
            let passes = if *by == here { 0 } else { passes };
            // To whom it is out already, there is nothing left to vote about.
            let is_judged = verdicts.members[*by] >> dead & 1 == 1;
            is_judged && votes.max(passes) + Verdicts::VOICE <= self.now
        };
        let all = verdicts.voters(here);
        majority(all) <= each(voters & !(1 << dead)).filter(tells).count()
    }
}
