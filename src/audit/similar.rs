//! The name that was probably meant.

/// The nearest of the names, if one is near: at most a third of the letters differ, or it has some words more or fewer.
pub(super) fn nearest<'a>(
    meant: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = meant.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&lower, &name.to_lowercase());
    let near = names.into_iter().map(|name| (distance(name), name));
    let near = near.filter(|(distance, name)| {
        let longest = meant.chars().count().max(name.chars().count());
        let name = name.to_lowercase();
        *distance * 3 <= longest || begins(&name, &lower) || begins(&lower, &name)
    });
    near.min().map(|(_, name)| name)
}

/// Whether a name begins with the other one, as `due_date` does with `due`.
fn begins(name: &str, with: &str) -> bool {
    with.len() > 2 && name.strip_prefix(with).is_some_and(|rest| rest.starts_with('_'))
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn only_a_near_name_is_offered() {
        let names = ["customers", "orders", "order_items", "users"];
        let cases = [
            ("custmers", Some("customers")),
            ("Customers", Some("customers")),
            ("order", Some("orders")),
            ("orderitems", Some("order_items")),
            ("payments", None),
            ("user_name", None),
            ("users_all", Some("users")),
            ("order", Some("orders")),
            ("customers_by_day", Some("customers")),
            ("", None),
        ];
        for (meant, expected) in cases {
            assert_eq!(nearest(meant, names), expected, "{meant}");
        }
    }
}
