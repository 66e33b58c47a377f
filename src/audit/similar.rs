//! The name that was probably meant.

/// The nearest of the names, if one is near: at most a third of the letters differ.
pub(super) fn nearest<'a>(
    meant: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = meant.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&lower, &name.to_lowercase());
    let near = names.into_iter().map(|name| (distance(name), name));
    let near = near.filter(|(distance, name)| {
        let longest = meant.chars().count().max(name.chars().count());
        *distance * 3 <= longest
    });
    near.min().map(|(_, name)| name)
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
            ("", None),
        ];
        for (meant, expected) in cases {
            assert_eq!(nearest(meant, names), expected, "{meant}");
        }
    }
}
