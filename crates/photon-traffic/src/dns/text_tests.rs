//! Zone files, good and bad.
//! Must not depend on anything but their text.

use proptest::prelude::*;

use super::*;

const HEAD: &str = "$TTL 1h\n@ SOA ns hostmaster 7 1h 10m 2w 60\n@ NS ns\n";

fn origin() -> Name {
    "example.com".parse().unwrap()
}

/// Reads a file behind a good head, and returns what it is written as, or its errors.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let text = format!("{HEAD}{text}");
    let lines: Vec<String> = match ZoneText::read(&text, &origin()) {
        Ok(zone) => {
            let mut tables = Tables::default();
            zone.put(&mut tables);
            let written = write_zone(&tables, &origin()).unwrap();
            let again = ZoneText::read(&written, &origin()).unwrap();
            let mut other = Tables::default();
            again.put(&mut other);
            assert_eq!(write_zone(&other, &origin()).unwrap(), written, "it is read as the same");
            written.lines().skip(4).map(str::to_owned).collect()
        }
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(lines, expected);
}

#[test]
fn a_file_is_read_and_written_as_it_was_meant() {
    let records = "www 60 IN A 192.0.2.1\n  AAAA 2001:db8::1\nwww IN 30 TXT \"a;b\" c\n";
    check(
        records,
        &["www 60 IN A 192.0.2.1", "www 30 IN TXT \"a;b\" \"c\"", "www 3600 IN AAAA 2001:db8::1"],
    );
}

#[test]
fn origins_and_times_hold_until_others_are_said() {
    check(
        "$ORIGIN sub\na A 192.0.2.1\n$TTL 5\nb.example.com. A 192.0.2.2\n",
        &["b 5 IN A 192.0.2.2", "a.sub 3600 IN A 192.0.2.1"],
    );
    check(
        "a 1d2h A 192.0.2.1\nb A 192.0.2.1",
        &["a 93600 IN A 192.0.2.1", "b 3600 IN A 192.0.2.1"],
    );
}

#[test]
fn records_of_one_name_and_type_are_one_set() {
    let twice = "a 60 A 192.0.2.1\nA.example.com. 30 A 192.0.2.2\na 60 A 192.0.2.1\n";
    check(twice, &["a 30 IN A 192.0.2.1", "a 30 IN A 192.0.2.2"]);
}

#[test]
fn signatures_of_a_file_are_left_out() {
    check("@ NSEC a A NS SOA\n@ DNSKEY 256 3 13 AQID", &[]);
}

#[test]
fn every_error_of_a_file_is_told_with_its_line() {
    let text =
        "a A 1.2.3\nb FOO x\nc.example.org. A 192.0.2.1\n$INCLUDE x\n$FOO 1\nd CH A 1.2.3.4\n";
    check(
        text,
        &[
            "line 4: expected IPv4 address",
            "line 5: `FOO` is no type of record",
            "line 6: `c.example.org.` is not in the zone `example.com.`",
            "line 7: $INCLUDE is not taken: write the records out",
            "line 8: `$FOO` is no directive",
            "line 9: only the class IN is kept, not CH",
        ],
    );
    check(
        "a CNAME b\na A 192.0.2.1",
        &["line 1: a.example.com. is CNAME: nothing may be beside it"],
    );
    check("@ SOA a b 1 2 3 4 5", &["line 4: this is a second SOA record"]);
    check("a (", &["line 4: a `(` is not closed"]);
}

#[test]
fn a_file_without_a_head_is_refused() {
    let why = |text: &str| match ZoneText::read(text, &origin()) {
        Ok(_) => panic!("it was taken"),
        Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
    };
    assert_eq!(why(""), ["line 1: there is no SOA record"]);
    assert_eq!(
        why(" A 192.0.2.1"),
        ["line 1: no line before says whose record this is", "line 1: there is no SOA record"]
    );
    let lone = "@ 5 SOA ns h 7 1 1 1 1";
    assert_eq!(why(lone), ["line 1: there is no NS record of the zone itself"]);
    let ttl = "a A 192.0.2.1\n";
    assert!(why(ttl)[0].contains("say `$TTL 300` in a line above"));
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in "[ -~\n\t]{0,300}") {
        let _ = ZoneText::read(&text, &origin());
        let _ = ZoneText::read(&format!("{HEAD}{text}"), &origin());
    }

    #[test]
    fn no_words_of_any_type_make_it_panic(
        rtype in prop::sample::select(vec![
            "A", "AAAA", "MX", "TXT", "SRV", "CAA", "NS", "CNAME", "PTR", "NAPTR", "SSHFP", "TLSA",
            "DS", "DNSKEY", "SVCB", "HTTPS", "HINFO", "LOC", "TYPE999", "ZONEMD", "OPENPGPKEY",
        ]),
        text in "[ -~]{0,80}",
        words in "([0-9a-z.\\\\#=,\"]{1,8} ){0,8}",
    ) {
        let _ = ZoneText::read(&format!("{HEAD}a {rtype} {text}\nb {rtype} {words}"), &origin());
    }
}
