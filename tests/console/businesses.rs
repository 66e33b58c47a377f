//! Businesses in the console: members and numbers, and nothing secret.

use super::Site;
use crate::businesses::{FIRST, MIA, crm};

#[tokio::test]
async fn a_business_is_shown_with_its_members_and_numbers_and_nothing_secret() {
    let (db, admin) = crm().await;
    let site = Site::new(&db, &[]).await;
    let page = site.get("/businesses?name=EMPT").body;
    assert!(page.contains("empty") && !page.contains(&format!("businesses/{FIRST}")), "{page}");
    assert!(site.get("/businesses").body.contains(&format!("businesses/{FIRST}")));
    let page = site.get(&format!("/businesses/{FIRST}")).body;
    for shown in [MIA.id, "owner", "staff", "10001", "agents/agt%5Fada", "none"] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains("@example") && !page.contains(">mia<"), "{page}");
    for nowhere in ["/businesses/x", "/businesses/00000000-0000-0000-0000-00000000000'"] {
        assert_eq!(site.get(nowhere).status, 404, "{nowhere}");
    }
    assert_eq!(site.get("/businesses?after=x").status, 400);
    admin.run("insert into public.businesses (name) select 'page ' || to_char(n, 'FM000') from generate_series(1, 120) n").await;
    let first = site.get("/businesses?name=page").body;
    assert!(
        first.contains(">page 001<")
            && first.contains(">page 100<")
            && !first.contains(">page 101<")
    );
    let next = first.split("href=\"").find(|rest| rest.contains("after=")).unwrap();
    let next = next.split('"').next().unwrap().replace("&amp;", "&");
    let second = site.get(&format!("/{next}")).body;
    assert!(
        second.contains(">page 101<")
            && second.contains(">page 120<")
            && !second.contains(">page 100<")
    );
}
