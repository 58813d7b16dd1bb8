//! `photon token`: bearer tokens.
//! Must not keep the token: it is printed once, and only its hash is stored.

use anyhow::Result;
use serde::Serialize;

use super::show;
use crate::cli::Token;
use crate::exit::Exit;
use crate::output::Output;

#[derive(Serialize)]
struct NewToken {
    token: String,
    hash: String,
}

pub(super) fn run(command: &Token, output: Output) -> Result<Exit> {
    match command {
        Token::New => {
            let (token, hash) = photon_edge::token::make()?;
            let hash = hash.to_string();
            show(output, &NewToken { token, hash }, |it| {
                output.line(&format!("token   {}", it.token))?;
                output.line("        It is kept nowhere. Give it with --token or PHOTON_TOKEN.")?;
                output.line(&format!("config  [listen]\n        tokens = [\"{}\"]", it.hash))
            })
        }
    }
}
