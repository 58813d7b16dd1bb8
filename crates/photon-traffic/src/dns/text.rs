//! Zones in the standard text form (RFC 1035, 5; RFC 2308, 4): read, and written.
//! Must not open files; `$INCLUDE` is refused.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::name::Name;
use super::names::RecordSet;
use super::plan::TTL_MAX;
use super::rdata;
use super::tables::Tables;
use super::tokens::{Entries, Entry};
use super::wire::rtype;
use super::zone::{Answers, RECORDS_MAX, Zone, ZoneError};

/// The most errors of one file that are told.
const ERRORS_MAX: usize = 20;

/// A zone as a file says it.
#[derive(Clone, Debug)]
pub struct ZoneText {
    /// The zone.
    pub zone: Zone,
    /// What its names stand for, the apex too.
    pub names: BTreeMap<Name, Vec<RecordSet>>,
}

/// What is wrong with a line of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct TextError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

/// A record as a line says it.
struct Line {
    owner: Name,
    ttl: u32,
    rtype: u16,
    data: Vec<u8>,
}

/// What lines say for those that follow.
struct Reader {
    origin: Name,
    owner: Option<Name>,
    /// What `$TTL` says.
    ttl: Option<u32>,
    /// What the line before said.
    last_ttl: Option<u32>,
}

/// A set while its records are gathered.
#[derive(Default)]
struct Gathered {
    ttl: u32,
    records: Vec<Vec<u8>>,
}

impl ZoneText {
    /// Reads a file. Its apex is `origin`, and it has to have an SOA record. All errors are told,
    /// up to 20 of them.
    pub fn read(text: &str, origin: &Name) -> Result<Self, Vec<TextError>> {
        let mut reader = Reader { origin: origin.clone(), owner: None, ttl: None, last_ttl: None };
        let mut gathered: BTreeMap<Name, BTreeMap<u16, Gathered>> = BTreeMap::new();
        let mut errors = Vec::new();
        for entry in Entries::new(text) {
            let line = entry.as_ref().map_or_else(|it| it.line, |it| it.line);
            let read = entry.map_err(|it| it.why.to_owned()).and_then(|it| reader.read(it));
            match read.and_then(|it| it.map_or(Ok(()), |it| gather(&mut gathered, origin, it))) {
                Ok(()) => {}
                Err(why) => errors.push(TextError { line, why }),
            }
            if ERRORS_MAX <= errors.len() {
                return Err(errors);
            }
        }
        let zone = take_zone(&mut gathered, origin);
        let zone = zone.map_err(|why| errors.push(TextError { line: 1, why })).ok();
        let mut names = BTreeMap::new();
        for (name, sets) in gathered {
            let sets = sets.into_iter().map(|(rtype, set)| {
                RecordSet::new(rtype, set.ttl, set.records.iter().map(Vec::as_slice))
            });
            let answers = Answers { sets: sets.collect(), special: None };
            match zone.as_ref().map(|it| it.check(&name, &answers)) {
                Some(Err(err)) => {
                    errors.push(TextError { line: 1, why: format!("{name} {}", told(&err)) });
                }
                Some(Ok(())) | None => drop(names.insert(name, answers.sets)),
            }
        }
        errors.truncate(ERRORS_MAX);
        match zone {
            Some(zone) if errors.is_empty() => Ok(Self { zone, names }),
            Some(_) | None => Err(errors),
        }
    }

    /// Puts the zone into tables, with the serial number that it says.
    pub fn put(self, tables: &mut Tables) {
        let (apex, serial) = (self.zone.apex.clone(), self.zone.serial());
        tables.put_zone(self.zone, serial);
        for (name, sets) in self.names {
            tables.put_name(&apex, &name, Answers { sets, special: None });
        }
    }
}

/// Says what is wrong with a name without a field, which a file does not have.
fn told(err: &ZoneError) -> String {
    match err {
        ZoneError::Senseless { why, .. } => why.clone(),
        ZoneError::Name { .. } | ZoneError::Record { .. } | ZoneError::Route(_) => err.to_string(),
    }
}

fn gather(
    gathered: &mut BTreeMap<Name, BTreeMap<u16, Gathered>>,
    origin: &Name,
    line: Line,
) -> Result<(), String> {
    if !line.owner.is_under(origin) {
        return Err(format!("`{}` is not in the zone `{origin}`", line.owner));
    }
    let is_made = matches!(line.rtype, rtype::RRSIG | rtype::NSEC | rtype::DNSKEY | 50 | 51);
    if is_made && (line.rtype != rtype::DNSKEY || line.owner == *origin) {
        // Whoever signs the zone makes them anew.
        return Ok(());
    }
    let sets = gathered.entry(line.owner).or_default();
    let set = sets.entry(line.rtype).or_default();
    if line.rtype == rtype::SOA && !set.records.is_empty() {
        return Err("this is a second SOA record".to_owned());
    }
    if RECORDS_MAX <= set.records.len() {
        return Err(format!("a name has more than {RECORDS_MAX} records of one type"));
    }
    // A set has one time to live (RFC 2181, 5.2): the shortest that is said.
    set.ttl = if set.records.is_empty() { line.ttl } else { set.ttl.min(line.ttl) };
    if !set.records.contains(&line.data) {
        set.records.push(line.data);
    }
    Ok(())
}

/// Takes what makes the zone out of the records at its apex.
fn take_zone(
    gathered: &mut BTreeMap<Name, BTreeMap<u16, Gathered>>,
    apex: &Name,
) -> Result<Zone, String> {
    let sets = gathered.get_mut(apex).ok_or("there is no SOA record")?;
    let soa = sets.remove(&rtype::SOA).ok_or("there is no SOA record")?;
    let servers = sets.remove(&rtype::NS).ok_or("there is no NS record of the zone itself")?;
    let data = soa.records.into_iter().next().ok_or("there is no SOA record")?;
    let minimum = data.last_chunk::<4>().map_or(0, |it| u32::from_be_bytes(*it));
    Ok(Zone {
        apex: apex.clone(),
        name_servers: RecordSet::new(
            rtype::NS,
            servers.ttl,
            servers.records.iter().map(Vec::as_slice),
        ),
        soa: data.into(),
        soa_ttl: soa.ttl,
        ttl: soa.ttl,
        negative_ttl: minimum,
        cuts: 0,
    })
}

impl Reader {
    /// Reads an entry: a record, or nothing if it is a directive.
    fn read(&mut self, entry: Entry) -> Result<Option<Line>, String> {
        let is_indented = entry.is_indented;
        let mut words = entry.tokens.into_iter().peekable();
        let directive = words.next_if(|it| !is_indented && it.starts_with('$'));
        if let Some(directive) = directive {
            let value = words.next();
            return self.direct(&directive, value.as_deref()).map(|()| None);
        }
        if !is_indented {
            let owner = words.next().ok_or("the line is empty")?;
            let owner = Name::parse(&owner, &self.origin).map_err(|it| it.to_string())?;
            self.owner = Some(owner);
        }
        let owner = self.owner.clone().ok_or("no line before says whose record this is")?;
        let mut ttl = None;
        let mut has_class = false;
        let rtype = loop {
            let word = words.next().ok_or("the line ends before its type")?;
            if !has_class && word.eq_ignore_ascii_case("IN") {
                has_class = true;
            } else if !has_class
                && ["CH", "HS", "CS"].iter().any(|it| word.eq_ignore_ascii_case(it))
            {
                return Err(format!("only the class IN is kept, not {word}"));
            } else if let Some(seconds) = seconds(&word).filter(|_| ttl.is_none()) {
                ttl = Some(seconds);
            } else {
                break rdata::parse_type(&word).map_err(|it| it.to_string())?;
            }
        };
        let mut words: Vec<_> = words.collect();
        if rtype == rtype::SOA {
            // Its times may have units, as all times may.
            for word in words.iter_mut().skip(3) {
                *word = seconds(word).map_or_else(|| word.clone(), |it| it.to_string());
            }
        }
        let data = rdata::parse_words(rtype, words, &self.origin)?;
        let minimum = || (rtype == rtype::SOA).then(|| data.last_chunk::<4>().copied()).flatten();
        let ttl = ttl.or(self.ttl).or(self.last_ttl).or_else(|| minimum().map(u32::from_be_bytes));
        let ttl = ttl.ok_or("there is no time to live: say `$TTL 300` in a line above")?;
        if TTL_MAX < ttl {
            return Err(format!("a time to live is at most {TTL_MAX} seconds"));
        }
        self.last_ttl = Some(ttl);
        Ok(Some(Line { owner, ttl, rtype, data }))
    }

    fn direct(&mut self, directive: &str, value: Option<&str>) -> Result<(), String> {
        match (directive.to_ascii_uppercase().as_str(), value) {
            ("$ORIGIN", Some(value)) => {
                let origin = Name::parse(value, &self.origin).map_err(|it| it.to_string())?;
                self.origin = origin;
                Ok(())
            }
            ("$TTL", Some(value)) => {
                let ttl = seconds(value).filter(|it| *it <= TTL_MAX);
                self.ttl = Some(ttl.ok_or_else(|| format!("`{value}` is no time to live"))?);
                Ok(())
            }
            ("$INCLUDE" | "$GENERATE", _) => {
                Err(format!("{directive} is not taken: write the records out"))
            }
            (_, None) => Err(format!("{directive} needs a value")),
            (_, Some(_)) => Err(format!("`{directive}` is no directive")),
        }
    }
}

/// Reads a time in seconds, also as `1h30m`.
fn seconds(text: &str) -> Option<u32> {
    let (mut sum, mut number) = (0_u32, None::<u32>);
    for byte in text.bytes() {
        let factor = match byte.to_ascii_lowercase() {
            b'0'..=b'9' => {
                let digit = u32::from(byte - b'0');
                number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
                continue;
            }
            b's' => 1,
            b'm' => 60,
            b'h' => 3_600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        sum = sum.checked_add(number.take()?.checked_mul(factor)?)?;
    }
    match number {
        Some(rest) => sum.checked_add(rest),
        None => Some(sum).filter(|_| !text.is_empty()),
    }
}

/// Writes a zone in the standard text form, its names in order. What is chosen by the client has no
/// such form, and is named in comments.
#[must_use]
pub fn write_zone(tables: &Tables, apex: &Name) -> Option<String> {
    let zone = tables.zone(apex)?;
    let mut text = format!("$ORIGIN {apex}\n$TTL {}\n", zone.ttl);
    let mut line = |name: &str, ttl: u32, rtype: u16, data: &[u8]| {
        let (kind, data) = (rdata::type_name(rtype), rdata::show(rtype, data));
        writeln!(text, "{name} {ttl} IN {kind} {data}").expect("texts take what is written");
    };
    line("@", zone.soa_ttl, rtype::SOA, &zone.soa);
    let mut nodes: Vec<_> =
        tables.names_of(apex).filter_map(|it| Some((Name::from_wire(it.name())?, it))).collect();
    nodes.sort_by_cached_key(|(name, _)| canonical(name));
    let mut comments = Vec::new();
    for (name, node) in nodes {
        let name = name.relative_to(apex);
        for set in node.sets() {
            set.records().for_each(|data| line(&name, set.ttl, set.rtype, data));
        }
        if node.special().is_some() {
            comments.push(format!("; {name} is answered by a route or an alias\n"));
        }
    }
    text.extend(comments);
    Some(text)
}

/// Returns what names are put in order by (RFC 4034, 6.1): the labels from the last to the first.
fn canonical(name: &Name) -> Vec<Vec<u8>> {
    let mut labels: Vec<_> = name.labels().map(<[u8]>::to_vec).collect();
    labels.reverse();
    labels
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
