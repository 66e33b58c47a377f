//! Names whose values are secret.

/// In names without `_` and `-`, in lower case.
const WITHIN: [&str; 18] = [
    "passw",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "token",
    "apikey",
    "authorization",
    "bearer",
    "credential",
    "accesskey",
    "privatekey",
    "servicekey",
    "servicerolekey",
    "signingkey",
    "encryptionkey",
    "masterkey",
    "connectionstring",
];
/// As a whole word of a name, the last one.
const LAST: [&str; 13] = [
    "auth", "salt", "pin", "cookie", "cookies", "otp", "totp", "cvv", "cvc", "ssn", "dsn", "pw",
    "pass",
];
/// Words that may follow these at the end of a name.
const BEHIND: [&str; 5] = ["code", "hash", "header", "value", "number"];
/// Keys of these kinds are no secrets.
const OPEN_KEYS: [&str; 28] = [
    "primary",
    "foreign",
    "unique",
    "sort",
    "cache",
    "partition",
    "idempotency",
    "public",
    "publishable",
    "lookup",
    "object",
    "storage",
    "row",
    "group",
    "natural",
    "surrogate",
    "message",
    "translation",
    "dedupe",
    "routing",
    "lock",
    "job",
    "event",
    "config",
    "setting",
    "feature",
    "map",
    "fkey",
];

/// Whether values of that name are secret.
pub(super) fn names_secret(name: &str) -> bool {
    let words = words(name);
    let plain = words.concat();
    if WITHIN.iter().any(|known| plain.contains(known)) {
        return true;
    }
    let mut words = words.iter().map(String::as_str).rev();
    let last = words.next().unwrap_or_default();
    let before = words.next();
    LAST.contains(&last)
        || BEHIND.contains(&last) && before.is_some_and(|word| LAST.contains(&word))
        || last == "key" && before.is_some_and(|word| !OPEN_KEYS.contains(&word))
}

/// A header whose value has several values.
pub(super) fn is_cookie(name: &str) -> bool {
    words(name).last().is_some_and(|last| last == "cookie")
}

/// The words of a name such as `stripe_key`, `stripeKey` or `Set-Cookie`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut last = '_';
    for c in name.chars() {
        let is_hump = last.is_ascii_lowercase() && c.is_ascii_uppercase();
        if !c.is_ascii_alphanumeric() || is_hump {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c.is_ascii_alphanumeric()) {
            word.push(c.to_ascii_lowercase());
        }
        last = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whether_its_values_are_secret() {
        for name in [
            "api_key",
            "apiKey",
            "X-Api-Key",
            "stripe_key",
            "stripeKey",
            "auth",
            "basic_auth",
            "authHeader",
            "salt",
            "password_salt",
            "pin",
            "user_pin",
            "pinCode",
            "pw",
            "db_pass",
            "passcode",
            "Cookie",
            "Set-Cookie",
            "DATABASE_DSN",
            "jwt_secret",
            "\"Pin\"",
        ] {
            assert!(names_secret(name), "{name}");
        }
        for name in [
            "key",
            "primary_key",
            "author",
            "authenticated",
            "auth_provider",
            "auth_user_id",
            "shipping",
            "pinned",
            "pin_count",
            "basalt",
            "cookie_consent",
            "public_key",
            "keyboard",
        ] {
            assert!(!names_secret(name), "{name}");
        }
    }
}
