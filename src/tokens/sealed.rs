//! A ciphertext: version (1) | key's id (8) | nonce (12) | encrypted bytes | tag (16).

use ring::aead::{Aad, NONCE_LEN, Nonce};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::binding::Binding;
use super::error::Error;
use super::key::Key;
use super::key_id::KeyId;
use super::secret::Secret;

const VERSION: u8 = 1;

/// A ciphertext in its parts.
pub(super) struct Sealed<'a> {
    id: [u8; 8],
    nonce: [u8; NONCE_LEN],
    /// With the tag at its end.
    body: &'a [u8],
}

impl<'a> Sealed<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let (version, rest) = bytes.split_first().ok_or(Error::Format)?;
        let (id, rest) = rest.split_first_chunk().ok_or(Error::Format)?;
        let (nonce, body) = rest.split_first_chunk().ok_or(Error::Format)?;
        if *version != VERSION {
            return Err(Error::Format);
        }
        Ok(Self { id: *id, nonce: *nonce, body })
    }

    pub(super) fn key_id(&self) -> KeyId {
        KeyId(self.id)
    }

    pub(super) fn open(&self, key: &Key, binding: &Binding) -> Result<Secret, Error> {
        let refused = || Error::Undecryptable(key.id());
        let binding = binding.bytes();
        let mut bytes = Zeroizing::new(self.body.to_vec());
        let aad = Aad::from(authenticated(key, &binding));
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let opened = key.derive(&binding)?.open_in_place(nonce, aad, &mut bytes);
        let opened = opened.map_err(|_unspecified| refused())?;
        Secret::parse(opened).map_err(|_not_ours| refused())
    }
}

/// Encrypts for this place.
pub(super) fn seal(key: &Key, secret: &Secret, binding: &Binding) -> Result<Vec<u8>, Error> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new().fill(&mut nonce).map_err(|_unspecified| Error::Random)?;
    let binding = binding.bytes();
    let mut body = Zeroizing::new(secret.as_bytes().to_vec());
    let aad = Aad::from(authenticated(key, &binding));
    let sealed = key.derive(&binding)?.seal_in_place_separate_tag(
        Nonce::assume_unique_for_key(nonce),
        aad,
        &mut body,
    );
    let tag = sealed.map_err(|_unspecified| Error::Format)?;
    Ok([&[VERSION], &key.id().0[..], &nonce, &body, tag.as_ref()].concat())
}

/// What is not encrypted and cannot be changed either.
fn authenticated(key: &Key, binding: &[u8]) -> Vec<u8> {
    [&[VERSION], &key.id().0[..], binding].concat()
}
