//! A throwaway database made ready for the service.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::error::Error;
use crate::postgres::{self, query};
use crate::service::Instance;

/// What Supabase and an operator would have done: platform roles, schema, the worker's role. The roles get these
/// passwords: first the admin's, then those of deploy/roles.sql.
pub(crate) async fn prepare(
    superuser: &Instance,
    admin: &Instance,
    [of_admin, of_worker, of_console]: [(&str, &str); 3],
) -> Result<(), Error> {
    let client = superuser.connect().await?;
    postgres::install_shim(&client).await?;
    set_password(&client, of_admin).await?;
    let mut owner = admin.connect().await?;
    postgres::migrate(&mut owner).await?;
    let roles = owner.batch_execute(include_str!("../../deploy/roles.sql")).await;
    roles.map_err(query("run deploy/roles.sql"))?;
    set_password(&owner, of_worker).await?;
    set_password(&owner, of_console).await
}

/// The server quotes both: a role's password cannot be a bind parameter.
async fn set_password(client: &Client, (role, password): (&str, &str)) -> Result<(), Error> {
    let doing = || query("set a password");
    let quote = "select format('alter role %I password %L', $1, $2)";
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&role, Type::TEXT), (&password, Type::TEXT)];
    for row in client.query_typed(quote, &parameters).await.map_err(doing())? {
        client.batch_execute(row.get(0)).await.map_err(doing())?;
    }
    Ok(())
}
