//! What owners, admins, staff, former members and members of another business can do in every table.

use super::{MEMBERS, populate};
use crate::policies::{TABLES, table};
use crate::support::{CALLERS, Database};

/// Beside [`TABLES`]; of `businesses` the row that nothing refers to.
const OURS: &str = "
public.businesses             | name       | id = '00000000-0000-0000-0000-000000000e0{own}'          | (name) values ('x')
public.user_businesses        | role       | business_id = '00000000-0000-0000-0000-000000000b0{own}' and role <> 'owner' | (user_id, business_id, role) values ('00000000-0000-0000-0000-00000000000d', '00000000-0000-0000-0000-000000000b0{own}', 'staff')
public.business_invitations   | role       | business_id = '00000000-0000-0000-0000-000000000b0{own}' | (business_id, role, email) values ('00000000-0000-0000-0000-000000000b0{own}', 'staff', 'y@example.com')
public.meta_apps              | name       | id = '00000000-0000-0000-0000-000000000d0{own}'          | (business_id, app_id, name) values ('00000000-0000-0000-0000-000000000b0{own}', '55555', 'x')
public.whatsapp_numbers       | is_active  | business_id = '00000000-0000-0000-0000-000000000b0{own}' | (business_id, meta_app_id, phone_number_id, business_account_id, display_number) values ('00000000-0000-0000-0000-000000000b0{own}', '00000000-0000-0000-0000-000000000c0{own}', '77777', '20000', '4915100')
provisioning.unknown_numbers  | messages   | true                                                     | (phone_number_id, messages) values ('5', 1)";

/// As in `policies`: to Ada's rows and, second letter, to Ben's.
const EXPECTED: &str = "
                                         mia    ned    sue    fay    ole    ada   boss
public.users                  select      yy     yy     yy     yy     yy     yy     yy
                              insert      xx     xx     xx     xx     xx     xx     yy
                              update      --     --     --     --     --     --     yy
                              delete      --     --     --     --     --     --     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx
public.agents                 select      yy     yy     yy     yy     yy     yy     yy
                              insert      xx     xx     xx     xx     xx     xx     yy
                              update      y-     y-     --     --     -y     y-     yy
                              delete      y-     y-     --     --     -y     y-     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx
public.agent_states           select      y-     y-     y-     --     -y     y-     yy
                              insert      xx     xx     xx     xx     xx     xx     xx
                              update      xx     xx     xx     xx     xx     xx     xx
                              delete      xx     xx     xx     xx     xx     xx     xx
                              truncate    xx     xx     xx     xx     xx     xx     xx
public.whatsapp_configuration select      --     --     --     --     --     y-     yy
                              insert      xx     xx     xx     xx     xx     yx     yy
                              update      --     --     --     --     --     y-     yy
                              delete      --     --     --     --     --     y-     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx
public.{agent}_customers      select      y-     y-     --     --     -y     y-     yy
                              insert      yx     yx     xx     xx     xy     yx     yy
                              update      y-     y-     --     --     -y     y-     yy
                              delete      y-     y-     --     --     -y     y-     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx
public.{agent}_messages       select      y-     y-     --     --     -y     y-     yy
                              insert      yx     yx     xx     xx     xy     yx     yy
                              update      y-     y-     --     --     -y     y-     yy
                              delete      y-     y-     --     --     -y     y-     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx
public.{agent}_orders         select      y-     y-     --     --     -y     y-     yy
                              insert      yx     yx     xx     xx     xy     yx     yy
                              update      y-     y-     --     --     -y     y-     yy
                              delete      y-     y-     --     --     -y     y-     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx
public.{agent}_orders_items   select      y-     y-     --     --     -y     y-     yy
                              insert      yx     yx     xx     xx     xy     yx     yy
                              update      y-     y-     --     --     -y     y-     yy
                              delete      y-     y-     --     --     -y     y-     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx
provisioning.migrations       all         xx     xx     xx     xx     xx     xx     xx
provisioning.jobs             all         xx     xx     xx     xx     xx     xx     xx
provisioning.agents           all         xx     xx     xx     xx     xx     xx     xx
provisioning.agent_tables     all         xx     xx     xx     xx     xx     xx     xx
public.businesses             select      y-     y-     y-     --     -y     --     yy
                              insert      xx     xx     xx     xx     xx     xx     xx
                              update      y-     y-     --     --     -y     --     yy
                              delete      y-     --     --     --     -y     --     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx
public.user_businesses        select      y-     y-     y-     --     -y     --     yy
                              insert      xx     xx     xx     xx     xx     xx     xx
                              update      xx     xx     xx     xx     xx     xx     xx
                              delete      xx     xx     xx     xx     xx     xx     xx
                              truncate    xx     xx     xx     xx     xx     xx     xx
public.business_invitations   select      y-     y-     --     --     -y     --     yy
                              insert      xx     xx     xx     xx     xx     xx     xx
                              update      xx     xx     xx     xx     xx     xx     xx
                              delete      y-     y-     --     --     -y     --     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx
public.meta_apps              select      y-     y-     --     --     -y     --     yy
                              insert      yx     yx     xx     xx     xy     xx     yy
                              update      y-     y-     --     --     -y     --     yy
                              delete      y-     y-     --     --     -y     --     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx
public.whatsapp_numbers       select      y-     y-     y-     --     -y     --     yy
                              insert      yx     yx     xx     xx     xy     xx     yy
                              update      y-     y-     --     --     -y     --     yy
                              delete      y-     y-     --     --     -y     --     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx
provisioning.unknown_numbers  all         xx     xx     xx     xx     xx     xx     xx";

#[tokio::test]
async fn members_reach_the_rows_of_their_business_and_no_others() {
    let db = Database::new().await;
    let admin = db.admin().await;
    let service = db.service().await;
    populate(&admin).await;
    admin.settled().await;
    drop(service);
    admin.fill(&["agt_ada", "agt_ben"]).await;
    admin
        .run("insert into provisioning.unknown_numbers (phone_number_id, messages) values ('4', 1)")
        .await;
    // With several businesses an agent needs to be told its own.
    let agents = TABLES.replace(
        "(agent_prefix, created_by) values ('agt_x', '{id}')",
        "(agent_prefix, business_id) values ('agt_x', '00000000-0000-0000-0000-000000000b0{own}')",
    );
    let found = table(&admin, &format!("{agents}{OURS}"), &MEMBERS).await;
    assert_eq!(found.trim(), EXPECTED.trim(), "\n{found}");
}

#[tokio::test]
async fn who_is_no_member_reaches_no_row_of_a_business() {
    let db = Database::new().await;
    let admin = db.admin().await;
    populate(&admin).await;
    admin
        .run("insert into provisioning.unknown_numbers (phone_number_id, messages) values ('4', 1)")
        .await;
    let seen = table(&admin, OURS, &CALLERS).await;
    assert_eq!(seen.trim(), STRANGERS.trim(), "\n{seen}");
}

const STRANGERS: &str = "
                                        anon    ada    ben    cat   boss nobody service postgres
public.businesses             select      xx     --     --     --     yy     --     yy     yy
                              insert      xx     xx     xx     xx     xx     xx     yy     yy
                              update      xx     --     --     --     yy     --     yy     yy
                              delete      xx     --     --     --     yy     --     yy     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx     xx
public.user_businesses        select      xx     --     --     --     yy     --     yy     yy
                              insert      xx     xx     xx     xx     xx     xx     yy     yy
                              update      xx     xx     xx     xx     xx     xx     yy     yy
                              delete      xx     xx     xx     xx     xx     xx     yy     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx     yy
public.business_invitations   select      xx     --     --     --     yy     --     yy     yy
                              insert      xx     xx     xx     xx     xx     xx     yy     yy
                              update      xx     xx     xx     xx     xx     xx     yy     yy
                              delete      xx     --     --     --     yy     --     yy     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx     yy
public.meta_apps              select      xx     --     --     --     yy     --     yy     yy
                              insert      xx     xx     xx     xx     yy     xx     yy     yy
                              update      xx     --     --     --     yy     --     yy     yy
                              delete      xx     --     --     --     yy     --     yy     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx     yy
public.whatsapp_numbers       select      xx     --     --     --     yy     --     yy     yy
                              insert      xx     xx     xx     xx     yy     xx     yy     yy
                              update      xx     --     --     --     yy     --     yy     yy
                              delete      xx     --     --     --     yy     --     yy     yy
                              truncate    xx     xx     xx     xx     xx     xx     xx     yy
provisioning.unknown_numbers  all         xx     xx     xx     xx     xx     xx     xx     yy";
