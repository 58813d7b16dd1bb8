//! What a link says, as bytes: to say it, and to hear it, without a connection.
//! Must not be used by a running region.

use photon_state::RegionId;
use tokio::io::AsyncRead;

use super::class::Class;
use super::hello::{Identity, PROTOCOLS, Role, shake_hands};
use super::packing::{Arrived, Packer, Unpacker};
use super::squeeze::Squeezing;

/// Returns messages as they go over a link, each with the index of its class.
#[must_use]
pub fn say(messages: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let (mut packer, mut said) = (Packer::new(Squeezing::WhereItPays), Vec::new());
    for (class, message) in messages {
        let mut at = Some(0);
        while let Some(from) = at {
            let packed = packer.pack(Class::ALL[*class], message, from, &mut said);
            at = packed.expect("memory can be written to");
        }
    }
    said
}

/// Hears messages until the end or an error, and returns them with what ended it.
pub async fn hear(mut said: impl AsyncRead + Unpin) -> (Vec<Vec<u8>>, String) {
    let (mut unpacker, mut messages) = (Unpacker::new(), Vec::new());
    loop {
        match unpacker.read(&mut said).await {
            Ok(Arrived { message: Some(message), .. }) => messages.push(message.to_vec()),
            Ok(Arrived { message: None, .. }) => {}
            Err(end) => return (messages, end.to_string()),
        }
    }
}

/// Introduces the region `a` of the planet `probe` to a peer that says this; returns who it is.
pub async fn greet(said: impl AsyncRead + Unpin) -> Result<RegionId, String> {
    let region = RegionId::try_from("a").expect("it is a name");
    let identity = Identity {
        planet: "probe".into(),
        region,
        secret: None,
        versions: PROTOCOLS,
        regions: [].into(),
    };
    let mut stream = tokio::io::join(said, tokio::io::sink());
    let greeted = shake_hands(&mut stream, &identity, Role::Listener, |_| Ok(())).await;
    greeted.map(|it| it.peer).map_err(|err| err.to_string())
}
