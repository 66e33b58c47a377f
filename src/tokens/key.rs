//! A key of the ring, and the keys that come from it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::error::Error;
use super::key_id::KeyId;
use super::weakness::{self, Weakness};

const LENGTH: usize = 32;

/// Makes these keys other ones than any that somebody else derives from the same bytes.
const SALT: &[u8] = b"agent-provisioner tokens v1";

/// A key of the ring. Its bytes are overwritten when it goes.
pub(crate) struct Key {
    id: KeyId,
    bytes: Zeroizing<[u8; LENGTH]>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl Key {
    pub(super) fn generate() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; LENGTH]);
        SystemRandom::new().fill(bytes.as_mut()).map_err(|_unspecified| Error::Random)?;
        Ok(Self::new(bytes))
    }

    /// None where it is no base64, or has another length.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let decoded = Zeroizing::new(BASE64.decode(text).ok()?);
        let bytes = <[u8; LENGTH]>::try_from(decoded.as_slice()).ok()?;
        Some(Self::new(Zeroizing::new(bytes)))
    }

    fn new(bytes: Zeroizing<[u8; LENGTH]>) -> Self {
        let mut id = [0; 8];
        id.iter_mut().zip(Sha256::digest(*bytes)).for_each(|(to, from)| *to = from);
        Self { id: KeyId(id), bytes }
    }

    pub(super) fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64.encode(*self.bytes))
    }

    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    /// Why it is weak; none where its bytes look random.
    pub(crate) fn weakness(&self) -> Option<Weakness> {
        weakness::of(self.bytes.as_ref())
    }

    /// The key of one secret only. So a random nonce is never used twice with a key.
    pub(super) fn derive(&self, info: &[u8]) -> Result<LessSafeKey, Error> {
        let of_master = Salt::new(HKDF_SHA256, SALT).extract(self.bytes.as_ref());
        let info = [info];
        let derived = of_master.expand(&info, &AES_256_GCM).map_err(|_length| Error::Format)?;
        Ok(LessSafeKey::new(UnboundKey::from(derived)))
    }
}
