//! The settings of a business: what may be in them, and that no secret is.

use super::{FIRST, MIA, SUE, code, crm, succeeds};

/// The settings; the constraint that refuses them.
const REFUSED: [(&str, &str); 14] = [
    ("'[]'", "businesses_settings_object_check"),
    ("'null'", "businesses_settings_object_check"),
    ("'{\"opening\": {}}'", "businesses_settings_keys_check"),
    ("'{\"services\": {}}'", "businesses_settings_types_check"),
    ("'{\"prices\": []}'", "businesses_settings_types_check"),
    ("'{\"hours\": \"always\"}'", "businesses_settings_types_check"),
    ("'{\"staff\": {}}'", "businesses_settings_types_check"),
    ("'{\"personality\": \"kind\"}'", "businesses_settings_types_check"),
    ("'{\"personality\": {\"access_token\": 1}}'", "businesses_settings_secret_check"),
    ("'{\"staff\": [{\"more\": [{\"API-Key\": \"x\"}]}]}'", "businesses_settings_secret_check"),
    ("'{\"hours\": {\"passwort\": \"x\"}}'", "businesses_settings_secret_check"),
    (
        "'{\"personality\": {\"text\": [\"use EAAGm0PX4ZCpsBAKZCnAbcdef please\"]}}'",
        "businesses_settings_secret_check",
    ),
    (
        "'{\"personality\": {\"text\": \"eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZSJ9.x\"}}'",
        "businesses_settings_secret_check",
    ),
    (
        "jsonb_build_object('personality', jsonb_build_object('text', repeat('x', 65536)))",
        "businesses_settings_size_check",
    ),
];

#[tokio::test]
async fn updated_at_says_when_a_row_was_changed_whatever_is_written_there() {
    let (_db, admin) = crm().await;
    for (table, column) in
        [("businesses", "name"), ("meta_apps", "name"), ("whatsapp_numbers", "is_active")]
    {
        let trigger = |verb| format!("alter table public.{table} {verb} trigger touch_updated_at");
        let (off, on) = (trigger("disable"), trigger("enable"));
        let old = format!("update public.{table} set updated_at = '2000-01-01'");
        admin.run(&format!("{off}; {old}; {on}")).await;
        let fresh =
            format!("select bool_and(updated_at > now() - interval '1 min') from public.{table}");
        assert!(!admin.one::<bool>(&fresh).await, "{table}");
        admin.run(&format!("update public.{table} set {column} = {column}")).await;
        assert!(admin.one::<bool>(&fresh).await, "{table}");
        admin.run(&old).await;
        assert!(admin.one::<bool>(&fresh).await, "{table}");
    }
}

#[tokio::test]
async fn what_is_no_setting_or_looks_like_a_secret_is_refused_whoever_writes_it() {
    let (_db, admin) = crm().await;
    for (settings, constraint) in REFUSED {
        let sql =
            format!("update public.businesses set settings = {settings} where id = '{FIRST}'");
        let refusal = admin.answer(&sql).await.expect_err(settings);
        assert_eq!(refusal.constraint(), Some(constraint), "{settings}");
        assert_eq!(code(&admin, &MIA, &sql).await, "23514", "{settings}");
        let call = format!("update_business_settings('{FIRST}', {settings})");
        assert!(!succeeds(&admin, &MIA, &call).await, "{settings}");
    }
    let most = "jsonb_build_object('personality', jsonb_build_object('text', repeat('x', 65000)))";
    assert!(succeeds(&admin, &MIA, &format!("update_business_settings('{FIRST}', {most})")).await);
}

#[tokio::test]
async fn keys_that_are_left_out_stay_and_a_null_takes_one_away() {
    let (_db, admin) = crm().await;
    for (given, expected) in [
        (
            r#"{"services": [{"name": "cut", "price": 20}], "hours": {"mon": "9-18"}}"#,
            r#"{"hours": {"mon": "9-18"}, "services": [{"name": "cut", "price": 20}]}"#,
        ),
        (
            r#"{"services": null, "staff": ["Eve"]}"#,
            r#"{"hours": {"mon": "9-18"}, "staff": ["Eve"]}"#,
        ),
    ] {
        admin.run(&MIA.begin()).await;
        let sql = format!(
            "select business -> 'settings' from public.update_business_settings('{FIRST}', '{given}')"
        );
        assert_eq!(admin.rows(&sql).await, [expected]);
        admin.run("commit").await;
    }
    // Staff reads them.
    let read = format!("select settings -> 'staff' from public.businesses where id = '{FIRST}'");
    assert_eq!(admin.ask(&SUE, &read).await.unwrap().rows, ["[\"Eve\"]"]);
}
