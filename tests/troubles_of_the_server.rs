//! Troubles of a night: a certificate, a full disk, a restore. Each is staged, the program is asked, its advice is followed
//! to the letter, and it is over.

use std::path::Path;
use std::process::Command;

use agent_provisioner::dev_server::{DevServer, SUPERUSER};
use rcgen::{CertificateParams, KeyPair};

use crate::http::answers;
use crate::support::{
    ADMIN, Admin, Database, FULL_DISK, Server, SmallDisk, WORKER, ask, expect, findings, get, json,
    pg_dump_can, said, skip, sound, statement, temp_dir, until,
};
use crate::tls::{Ca, Outcome, ca, present, signed, write};

const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

fn expired(ca: &Ca) -> Outcome<(String, String)> {
    let mut params = CertificateParams::new(NAMES.map(ToOwned::to_owned))?;
    params.not_after = rcgen::date_time_ymd(2001, 1, 1);
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, ca)?.pem(), key.serialize_pem()))
}

#[tokio::test]
async fn a_certificate_that_is_over_or_of_another_has_its_own_fix() -> Outcome<()> {
    let cluster = DevServer::start(&[])?;
    let (ours, theirs) = (ca("ours")?, ca("theirs")?);
    let root = write(&cluster, "ours.pem", &ours.pem())?;
    let other_root = write(&cluster, "theirs.pem", &theirs.pem())?;
    let plain = cluster.url(SUPERUSER, "postgres");
    let url = |root: &Path| format!("{plain}?sslmode=verify-full&sslrootcert={}", root.display());
    // What is wrong with the connection; nothing where there is one.
    let fixes = async |url: &str| {
        let found = findings(url).await.into_iter();
        found.filter(|[_, what, ..]| what == "connection").map(|[.., fix]| fix).collect::<Vec<_>>()
    };
    let cases = [
        ("over", expired(&ours)?, "renew it"),
        ("elsewhere", signed(&ours, &["elsewhere.example"])?, "write the host"),
        ("theirs", signed(&theirs, &NAMES)?, "set sslrootcert"),
    ];
    for (name, (certificate, key), fix) in cases {
        present(&cluster, name, (&certificate, &key)).await?;
        let [found] = fixes(&url(&root)).await.try_into().unwrap();
        assert!(found.contains(fix), "{name}: {found}");
    }
    // The root certificate of the server that is there now; and one that is renewed.
    assert_eq!(fixes(&url(&other_root)).await, [""; 0]);
    let (certificate, key) = signed(&ours, &NAMES)?;
    present(&cluster, "renewed", (&certificate, &key)).await?;
    assert_eq!(fixes(&url(&root)).await, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_full_disk_is_called_that_everywhere_until_there_is_room() {
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let db = server.database().await;
    let (admin, root) = (db.admin().await, Admin(db.connect(SUPERUSER).await));
    let Some(disk) = SmallDisk::mount(server) else {
        skip("nobody may mount a file system here");
        return;
    };
    let place = disk.tablespace();
    root.run(&format!("create tablespace small location '{}'", place.display())).await;
    root.run(
        "grant create on tablespace small to agent_provisioner;
         alter role agent_provisioner set default_tablespace = 'small'",
    )
    .await;
    let service = db.service().await;
    let http = service.http().await;
    until("ready", || async { (get(&http, "/readyz").0 == 200).then_some(()) }).await;
    disk.fill();
    admin.create("agt_a").await;
    admin.holds("select last_sqlstate = '53100' and attempts = 0 from provisioning.jobs").await;
    answers(&http, "disk_full").await;
    let found = findings(&db.url(WORKER)).await;
    assert!(!found.is_empty() && found.iter().all(|[_, what, ..]| what == "disk"), "{found:?}");
    assert!(found.iter().all(|[.., fix]| fix.contains("make room")), "{found:?}");
    for command in [&["jobs", "list"][..], &["jobs", "show", "1"]] {
        expect(&ask(&db.url(WORKER), command).await, 0, &["disk"]);
    }
    let later = "update provisioning.jobs set run_at = now() + interval '1 hour'";
    admin.run(later).await; // or it comes due by itself before it is replayed
    // As the advice says.
    disk.make_room();
    let found = findings(&db.url(ADMIN)).await;
    let [[severity, what, _, fix]] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!([severity, what], ["warning", "disk"]);
    let command: Vec<&str> = statement(fix).split(' ').skip(1).collect();
    expect(&ask(&db.url(ADMIN), &command).await, 0, &["replayed 1 job"]);
    admin.settled().await;
    assert_eq!(admin.tables("agt_a").await.len(), 4);
    until("ready", || async { (get(&http, "/readyz").0 == 200).then_some(()) }).await;
    assert_eq!(findings(&db.url(WORKER)).await, [[""; 4]; 0]);
    drop(service);
}

#[tokio::test]
async fn a_service_that_starts_on_a_full_disk_says_so_and_begins_when_there_is_room() {
    let server: &'static Server = Box::leak(Box::new(Server::start(&[]).await));
    let db = server.database().await;
    let root = Admin(db.connect(SUPERUSER).await);
    root.run(FULL_DISK).await;
    let service = crate::support::Service::start(&db.url(WORKER), &[]);
    let http = service.http().await;
    answers(&http, "disk_full").await;
    root.run("drop event trigger full_disk").await;
    service.logged("\"running\"").await;
}

#[tokio::test]
async fn a_restore_under_a_running_worker_costs_no_agent_and_the_worker_goes_on() {
    let db = Database::new().await;
    let admin = db.admin().await;
    if !pg_dump_can(&admin).await {
        return;
    }
    let settings = [("WORKER__RECONCILE_INTERVAL", "100ms"), ("REFERENCE", "check")];
    let service = db.service_with(&settings).await;
    for prefix in ["agt_a", "agt_b"] {
        admin.create(prefix).await;
    }
    admin.settled().await;
    admin.run("insert into public.agt_a_customers (name, phone) values ('n', '1')").await;
    let dump = temp_dir().join(format!("{}.sql", db.name));
    let dumped = Command::new("pg_dump").arg(db.url(SUPERUSER)).arg("-f").arg(&dump).output();
    let dumped = dumped.unwrap();
    assert!(dumped.status.success(), "{}", said(&dumped));
    // What was done since is taken back: one is made, and one is deleted.
    admin.create("agt_late").await;
    admin.run("delete from public.agents where agent_prefix = 'agt_b'").await;
    admin.settled().await;
    let empty = "drop schema public, provisioning, provisioning_trash, auth cascade; create schema public; \
                 drop publication supabase_realtime";
    let mut psql = Command::new("psql");
    psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-c", empty, "-f"]).arg(&dump).arg(db.url(SUPERUSER));
    let restored = crate::support::finish(&mut psql).await;
    expect(&restored, 0, &[]);
    std::fs::remove_file(dump).unwrap();
    admin.create("agt_c").await;
    admin.settled().await;
    for prefix in ["agt_a", "agt_b", "agt_c"] {
        assert_eq!(admin.tables(prefix).await.len(), 4, "{prefix}");
    }
    assert_eq!(admin.one::<i64>("select count(*) from public.agt_a_customers").await, 1);
    let deletions = "select count(*) from provisioning.jobs where kind = 'deprovision'";
    assert_eq!(admin.one::<i64>(deletions).await, 0);
    let http = service.http().await;
    until("ready", || async { (get(&http, "/readyz").0 == 200).then_some(()) }).await;
    sound(&ask(&db.url(WORKER), &["agents", "verify", "--json"]).await, 3);
    assert_eq!(findings(&db.url(WORKER)).await, [[""; 4]; 0]);
    let listed = json(&ask(&db.url(WORKER), &["agents", "list", "--json"]).await);
    assert!(listed.as_array().unwrap().iter().all(|agent| agent["state"] == "ready"), "{listed}");
}
