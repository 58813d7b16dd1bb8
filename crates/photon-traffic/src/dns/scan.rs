//! Hands words of a zone file to whoever reads the records of one type.
//! Must not know the types.

use std::fmt::Write as _;

use domain::base::Name as DomainName;
use domain::base::charstr::CharStr;
use domain::base::scan::{
    ConvertSymbols, EntrySymbol, IterScanner, Scanner, ScannerError, StrError, Symbol,
};
use domain::dep::octseq::str::Str;

use super::name::Name;

/// Words, with the name that relative names among them are under.
pub(super) struct Words<'a> {
    inner: IterScanner<std::vec::IntoIter<String>, Vec<u8>>,
    origin: &'a Name,
}

impl<'a> Words<'a> {
    pub(super) fn new(words: Vec<String>, origin: &'a Name) -> Self {
        Self { inner: IterScanner::new(words), origin }
    }
}

impl Scanner for Words<'_> {
    type Octets = Vec<u8>;
    type OctetsBuilder = Vec<u8>;
    type Name = DomainName<Vec<u8>>;
    type Error = StrError;

    /// Reads a name; one that does not end in a dot is under the origin.
    fn scan_name(&mut self) -> Result<Self::Name, StrError> {
        let mut text = String::new();
        self.inner.scan_symbols(|it| {
            write!(text, "{it}").expect("texts take what is written");
            Ok(())
        })?;
        let name = Name::parse(&text, self.origin).map_err(|it| StrError::custom(it.why))?;
        Ok(DomainName::from_octets(name.wire().to_vec()).expect("a name is a name"))
    }

    fn scan_svcb_octets(&mut self) -> Result<Vec<u8>, StrError> {
        self.inner.scan_octets()
    }

    // The rest is as for any words.

    fn has_space(&self) -> bool {
        self.inner.has_space()
    }

    fn continues(&mut self) -> bool {
        self.inner.continues()
    }

    fn scan_symbols<F>(&mut self, op: F) -> Result<(), StrError>
    where
        F: FnMut(Symbol) -> Result<(), StrError>,
    {
        self.inner.scan_symbols(op)
    }

    fn scan_entry_symbols<F>(&mut self, op: F) -> Result<(), StrError>
    where
        F: FnMut(EntrySymbol) -> Result<(), StrError>,
    {
        self.inner.scan_entry_symbols(op)
    }

    fn convert_token<C: ConvertSymbols<Symbol, StrError>>(
        &mut self,
        convert: C,
    ) -> Result<Vec<u8>, StrError> {
        self.inner.convert_token(convert)
    }

    fn convert_entry<C: ConvertSymbols<EntrySymbol, StrError>>(
        &mut self,
        convert: C,
    ) -> Result<Vec<u8>, StrError> {
        self.inner.convert_entry(convert)
    }

    fn scan_octets(&mut self) -> Result<Vec<u8>, StrError> {
        self.inner.scan_octets()
    }

    fn scan_ascii_str<F, T>(&mut self, op: F) -> Result<T, StrError>
    where
        F: FnOnce(&str) -> Result<T, StrError>,
    {
        self.inner.scan_ascii_str(op)
    }

    fn scan_charstr(&mut self) -> Result<CharStr<Vec<u8>>, StrError> {
        self.inner.scan_charstr()
    }

    fn scan_string(&mut self) -> Result<Str<Vec<u8>>, StrError> {
        self.inner.scan_string()
    }

    fn scan_charstr_entry(&mut self) -> Result<Vec<u8>, StrError> {
        self.inner.scan_charstr_entry()
    }

    fn scan_opt_unknown_marker(&mut self) -> Result<bool, StrError> {
        // The marker is a word of its own (RFC 3597), which whoever asks goes on behind.
        let is_marker = self.inner.scan_opt_unknown_marker()?;
        if is_marker {
            self.inner.scan_symbols(|_| Ok(()))?;
        }
        Ok(is_marker)
    }

    fn octets_builder(&mut self) -> Result<Vec<u8>, StrError> {
        self.inner.octets_builder()
    }
}
