//! The server on which files are tried: a throwaway one, or a database that somebody gives for it.
//!
//! Each try gets a database of its own, a copy of one that has what the platform brings. The files run as a role without a
//! superuser's rights.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::error::Error;
use super::extension;
use super::files::SqlFile;
use super::live;
use super::platform::ask;
use super::session::Session;
use crate::dev_server::{DevServer, SUPERUSER, draw_password};
use crate::postgres::{self, Target, query};
use crate::sql_text::in_quotes;
use crate::telemetry::ErrorReport;

/// Files of an audit wait for nobody, and nothing here takes long.
const SETTINGS: [(&str, &str); 3] =
    [("statement_timeout", "120s"), ("autovacuum", "off"), ("max_connections", "20")];
const PREFIX: &str = "agent_provisioner_audit";
/// The role that runs migrations on Supabase.
const POSTGRES: &str = "postgres";

/// The server on which files are tried.
#[derive(Debug)]
pub(super) struct Shadow {
    /// The throwaway server, if it is one. It ends with this value.
    _server: Option<DevServer>,
    /// Of whoever may do everything there.
    root: Target,
    /// Of the role that runs the files.
    role: Target,
    /// The name of that role, quoted.
    pub(super) owner: String,
    /// Its password. `None`: it is the role of the URL.
    password: Option<SecretString>,
    /// The database that others are copies of. Sessions of this audit have its name, too.
    base: String,
    /// What the first of them is a copy of.
    template: String,
    /// What the role of the files runs first in each copy.
    pub(super) beginning: String,
    /// Each is noted before it is made.
    made: Vec<String>,
    /// The roles that there were before any file ran.
    roles_before: Option<Vec<String>>,
    /// The texts of all files, to see which roles they name.
    texts: String,
    /// Whether the server stays, and what was made there has to be dropped.
    given: bool,
    /// The server's version as a number, such as 150004.
    pub(super) version: i32,
}

impl Shadow {
    /// A throwaway server, or the database of this URL, which has to be empty and another one than that with this
    /// identity. Nothing is made there yet.
    pub(super) async fn start(
        url: Option<&SecretString>,
        identity: Option<&str>,
    ) -> Result<Self, Error> {
        let (server, root) = if let Some(url) = url {
            (None, Target::parse(url.expose_secret(), None, None)?)
        } else {
            let server = DevServer::start(&SETTINGS)?;
            let root = Target::parse(&server.url(SUPERUSER, "postgres"), None, None)?;
            (Some(server), root)
        };
        let given = server.is_none();
        let base = format!("{PREFIX}_{:08x}", fastrand::u32(..));
        let session = Session::of(root.clone(), &base).await?;
        let version = version(&session.client).await?;
        if given {
            if identity == Some(&live::identity(&session.client).await?) {
                return Err(Error::ShadowIsDatabase);
            }
            require_empty(&session.client).await?;
        } else {
            shut_out(&session.client).await?;
        }
        session.close().await;
        let name = root.config.get_dbname().unwrap_or("postgres").to_owned();
        Ok(Self {
            _server: server,
            role: root.clone(),
            root,
            owner: String::new(),
            password: None,
            base,
            template: if given { name } else { "template1".to_owned() },
            beginning: String::new(),
            made: Vec::new(),
            roles_before: None,
            texts: String::new(),
            given,
            version,
        })
    }

    /// Makes the platform, and the role that runs the files.
    pub(super) async fn prepare(&mut self) -> Result<(), Error> {
        let (template, base) = (self.template.clone(), self.base.clone());
        self.copy(&template, &base).await?;
        let session = self.root_in(&base).await?;
        let client = &session.client;
        postgres::install_shim(client).await?;
        let doing = || query("make what the platform brings");
        client.batch_execute(include_str!("../../sql/audit/stubs.sql")).await.map_err(doing())?;
        let password = draw_password()?;
        let sql = "select quote_ident(rolname) as quoted, rolsuper as is_superuser \
                   from pg_catalog.pg_roles where rolname = current_user";
        let row = client.query_one(sql, &[]).await.map_err(doing())?;
        // On a server that stays, no role that is there gets another password.
        let role = if !row.get::<_, bool>("is_superuser") {
            None
        } else if self.given {
            Some(format!("{PREFIX}_{:08x}", fastrand::u32(..)))
        } else {
            Some(POSTGRES.to_owned())
        };
        self.owner = row.get("quoted");
        if let Some(role) = role {
            let make = if role == POSTGRES { "alter" } else { "create" };
            let sql = format!(
                "{make} role {role} login createdb createrole replication bypassrls password '{password}'; \
                 alter role {role} set search_path = \"$user\", public, extensions; \
                 alter database {base} owner to {role}"
            );
            self.owner.clone_from(&role);
            client.batch_execute(&sql).await.map_err(doing())?;
            set_login(&mut self.role, &role, &password);
            self.password = Some(password.into());
        }
        let own = include_str!("../../sql/audit/own_stubs.sql").replace("{role}", &self.owner);
        client.batch_execute(&own).await.map_err(doing())?;
        session.close().await;
        Ok(())
    }

    /// Makes room for the roles that files make: roles belong to the whole server, and an earlier run of the files has made
    /// them. They are renamed, since much may belong to them.
    pub(super) async fn retire_roles(&mut self, files: &[SqlFile]) -> Result<(), Error> {
        let doing = || query("make room for the roles of the files");
        let name = self.root.config.get_dbname().unwrap_or("postgres").to_owned();
        let session = self.root_in(&name).await?;
        if self.roles_before.is_none() {
            self.roles_before = Some(roles(&session.client).await.map_err(doing())?);
            self.texts = files.iter().map(|file| file.text.as_str()).collect();
        }
        for role in self.roles_of_files(&session.client).await.map_err(doing())? {
            let retired = format!("{}_role_{:08x}", self.base, fastrand::u32(..));
            let rename = format!("alter role {} rename to {retired}", in_quotes(&role));
            session.client.batch_execute(&rename).await.map_err(doing())?;
        }
        session.close().await;
        Ok(())
    }

    /// The roles of the server that files have made.
    async fn roles_of_files(&self, client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
        let mut now = roles(client).await?;
        now.retain(|role| self.is_of_files(role));
        Ok(now)
    }

    /// Whether a role has come since the files were read, and they name it.
    fn is_of_files(&self, role: &str) -> bool {
        let is_new = |before: &Vec<String>| !before.iter().any(|it| it == role);
        self.roles_before.as_ref().is_some_and(is_new)
            && !role.starts_with(PREFIX)
            && self.texts.contains(role)
    }

    /// Makes roles that are not there, without rights. Those of audits come and go.
    pub(super) async fn make_roles(&self, wanted: &BTreeSet<String>) -> Result<(), Error> {
        let session = self.root_in(&self.base).await?;
        let there = roles(&session.client).await;
        let there = there.map_err(query("look for the database's roles on the shadow"))?;
        for role in wanted.iter().filter(|it| !it.starts_with(PREFIX) && !there.contains(it)) {
            session.make_role(role).await?;
        }
        session.close().await;
        Ok(())
    }

    /// Runs something in the database that all others are copies of, before the first copy is made, as the role that runs
    /// the files.
    pub(super) async fn prepare_base(&self, sql: &str) -> Result<(), Error> {
        let session = self.role_in(&self.base).await?;
        let done = session.client.batch_execute(sql).await;
        session.close().await;
        Ok(done.map_err(query("prepare the shadow"))?)
    }

    /// The same as whoever may do everything there.
    pub(super) async fn prepare_base_as_root(&self, sql: &str) -> Result<(), Error> {
        let session = self.root_in(&self.base).await?;
        let done = session.client.batch_execute(sql).await;
        session.close().await;
        Ok(done.map_err(query("prepare the shadow"))?)
    }

    /// Makes extensions there, each in its schema, as far as the server has them.
    pub(super) async fn extend_base(&self, extensions: &[(String, String)]) -> Result<(), Error> {
        let session = self.root_in(&self.base).await?;
        for (name, schema) in extensions {
            let (quoted, within) = (in_quotes(name), in_quotes(schema));
            let mut sql = format!("create extension if not exists {quoted} cascade");
            // Some say themselves where they belong.
            if schema != "pg_catalog" {
                sql = format!(
                    "create schema if not exists {within}; \
                     create extension if not exists {quoted} schema {within} cascade"
                );
            }
            match session.client.batch_execute(&sql).await {
                Ok(()) => {}
                Err(error) if error.as_db_error().is_some() => {
                    extension::stand_in(&session, name, Some(schema)).await?;
                }
                Err(error) => return Err(query("make an extension on the shadow")(error).into()),
            }
        }
        session.close().await;
        Ok(())
    }

    /// Makes this program's own base schema in it, and the worker's role.
    pub(super) async fn migrate_base(&self) -> Result<(), Error> {
        self.migrate(&self.base).await
    }

    /// The same in another database of it.
    pub(super) async fn migrate(&self, database: &str) -> Result<(), Error> {
        let mut session = self.role_in(database).await?;
        let migrated = postgres::migrate(&mut session.client).await;
        session.close().await;
        migrated?;
        let session = self.role_in(database).await?;
        let roles = session.client.batch_execute(include_str!("../../deploy/roles.sql")).await;
        session.close().await;
        Ok(roles.map_err(query("run deploy/roles.sql"))?)
    }

    /// A new database with what the platform brings: its name.
    pub(super) async fn database(&mut self) -> Result<String, Error> {
        let name = format!("{}_{}", self.base, self.made.len());
        let base = self.base.clone();
        self.copy(&base, &name).await?;
        if !self.beginning.is_empty() {
            let session = self.role_in(&name).await?;
            let begun = session.client.batch_execute(&self.beginning).await;
            session.close().await;
            begun.map_err(query("set default privileges on the shadow"))?;
        }
        Ok(name)
    }

    async fn copy(&mut self, template: &str, name: &str) -> Result<(), Error> {
        // From another database: nobody may be in the one that is copied.
        let place = if self.given { self.elsewhere(template) } else { "postgres".to_owned() };
        let session = self.root_in(&place).await?;
        let owner =
            if self.owner.is_empty() { String::new() } else { format!(" owner {}", self.owner) };
        let sql = format!("create database {name} template {}{owner}", in_quotes(template));
        self.made.push(name.to_owned());
        let made = session.client.batch_execute(&sql).await;
        session.close().await;
        made.map_err(query(
            "create a database on the shadow, which takes the right to (CREATEDB)",
        ))?;
        Ok(())
    }

    /// Not `template1`, if there is another one: somebody who makes a database copies it, and nobody may be in it then.
    fn elsewhere(&self, template: &str) -> String {
        let own = self.root.config.get_dbname().unwrap_or_default();
        let places = [own, "postgres", "template1"];
        places.into_iter().find(|it| *it != template).unwrap_or(own).to_owned()
    }

    /// A session there of whoever may do everything.
    pub(super) async fn root_in(&self, database: &str) -> Result<Session, Error> {
        Session::of(of_database(&self.root, database), &self.base).await
    }

    /// As the role that runs the files. A file may have changed its login, which is then put back.
    pub(super) async fn role_in(&self, database: &str) -> Result<Session, Error> {
        let target = of_database(&self.role, database);
        let opened = Session::of(target.clone(), &self.base).await;
        let (Err(Error::Connect(_)), Some(password)) = (&opened, &self.password) else {
            return opened;
        };
        let root = self.root_in(database).await?;
        let sql = format!(
            "alter role {} login password '{}' valid until 'infinity' connection limit -1",
            self.owner,
            password.expose_secret()
        );
        let put_back = root.client.batch_execute(&sql).await;
        root.close().await;
        put_back.map_err(query("put the login of the files' role back"))?;
        Session::of(target, &self.base).await
    }

    /// Drops what it made on a server that stays, whatever state that is in. What is left: one sentence for each thing.
    pub(super) async fn end(self) -> Vec<String> {
        let has_role = self.owner.starts_with(PREFIX);
        if !self.given || self.made.is_empty() {
            return Vec::new();
        }
        let name = self.root.config.get_dbname().unwrap_or_default();
        let session = match self.root_in(name).await {
            Ok(session) => session,
            Err(error) => {
                let role = if has_role { self.owner.as_str() } else { "none" };
                return vec![format!(
                    "what the audit leaves on the server of --shadow: databases {}, role {role}: {}",
                    self.made.join(", "),
                    ErrorReport(&error)
                )];
            }
        };
        let client = &session.client;
        // One of them may still be making a database. The role's may be anywhere.
        let sql = "select pg_terminate_backend(pid, 5000) from pg_catalog.pg_stat_activity \
                   where (application_name = $1 or usename = $2) and pid <> pg_backend_pid()";
        let role = if has_role { self.owner.as_str() } else { "" };
        client.query_typed(sql, &[(&self.base, Type::TEXT), (&role, Type::TEXT)]).await.ok();
        let mut left = Vec::new();
        for database in self.made.iter().rev() {
            if let Err(error) = drop_database(client, database).await {
                left.push(stays(&format!("database {database}"), &error));
            }
        }
        // What belongs to one of them elsewhere, or that it is in use, keeps it.
        let retired = format!("{}_role_", self.base);
        let mut of_files = roles(client).await.unwrap_or_default();
        of_files.retain(|role| role.starts_with(&retired) || self.is_of_files(role));
        for role in of_files {
            client.batch_execute(&format!("drop role if exists {}", in_quotes(&role))).await.ok();
        }
        if has_role && let Err(error) = drop_role(client, role).await {
            let how = match disarm(client, role).await {
                Ok(()) => "without a login and without rights",
                Err(_) => "with its rights",
            };
            left.push(stays(&format!("role {role}, {how},"), &error));
        }
        session.close().await;
        left
    }
}

async fn roles(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client.query_typed("select rolname::text from pg_catalog.pg_roles", &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// A file may have made it a template, which cannot be dropped.
async fn drop_database(client: &Client, database: &str) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(&format!("alter database {database} is_template false")).await.ok();
    client.batch_execute(&format!("drop database if exists {database} with (force)")).await
}

/// Along with what it owns in this database, and what it may do with objects that others have in common.
async fn drop_role(client: &Client, role: &str) -> Result<(), tokio_postgres::Error> {
    let drop = format!("drop role if exists {role}");
    if client.batch_execute(&drop).await.is_ok() {
        return Ok(());
    }
    client.batch_execute(&format!("drop owned by {role} cascade")).await.ok();
    client.batch_execute(&drop).await
}

/// Takes everything from a role that something still depends on.
async fn disarm(client: &Client, role: &str) -> Result<(), tokio_postgres::Error> {
    let sql = include_str!("../../sql/audit/shadow_disarm.sql");
    for row in client.query_typed(sql, &[(&role, Type::TEXT)]).await? {
        client.batch_execute(row.get(0)).await?;
    }
    Ok(())
}

fn stays(what: &str, error: &tokio_postgres::Error) -> String {
    let said = error.as_db_error();
    let detail = said.and_then(|said| said.detail()).unwrap_or_default().replace('\n', ", ");
    let message = said.map_or_else(|| error.to_string(), |said| said.message().to_owned());
    format!("{what} stays on the server of --shadow: {message} {detail}").trim_end().to_owned()
}

fn of_database(target: &Target, database: &str) -> Target {
    let mut target = target.clone();
    for config in target.hosts.iter_mut().chain([&mut target.config]) {
        config.dbname(database);
    }
    target
}

fn set_login(target: &mut Target, role: &str, password: &str) {
    for config in target.hosts.iter_mut().chain([&mut target.config]) {
        config.user(role).password(password);
    }
}

async fn version(client: &Client) -> Result<i32, Error> {
    let sql = "select current_setting('server_version_num')::int";
    let row = client.query_one(sql, &[]).await.map_err(query("ask for the server's version"))?;
    Ok(row.get(0))
}

/// Before PostgreSQL 16 whoever may make roles may also grant those that read the server's files and run programs, unless
/// these are superusers.
async fn shut_out(root: &Client) -> Result<(), Error> {
    let sql = "update pg_catalog.pg_authid set rolsuper = true where rolname in \
               ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')";
    Ok(root.batch_execute(sql).await.map_err(query("shut files out of the server's own"))?)
}

/// Some of what is in it, if anything is.
async fn require_empty(client: &Client) -> Result<(), Error> {
    let sql = include_str!("../../sql/audit/contents.sql");
    let rows = ask(client, sql, "see whether the shadow is empty").await?;
    let names: Vec<String> = rows.iter().take(3).map(|row| row.get(0)).collect();
    if names.is_empty() { Ok(()) } else { Err(Error::NotEmpty(names.join(", "))) }
}
