//! Classes, categories, groups, approved authorities, federation.

use civic::{ClientId, ServerId};
use store::{Tx, params};
use trust::globalconf::{GlobalGroup, MemberClass};

use super::{ROWS_MAX, grouped, require_client, require_server};
use crate::AuthorityError;
use crate::approved::Approval;

/// Which of the tables of code and description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    Classes,
    Categories,
    Groups,
}

impl List {
    const fn put(self) -> &'static str {
        match self {
            Self::Classes => {
                "INSERT INTO authority_member_class (code, description) VALUES ($1, $2)
                 ON CONFLICT (code) DO UPDATE SET description = excluded.description"
            }
            Self::Categories => {
                "INSERT INTO authority_security_category (code, description) VALUES ($1, $2)
                 ON CONFLICT (code) DO UPDATE SET description = excluded.description"
            }
            Self::Groups => {
                "INSERT INTO authority_group (code, description) VALUES ($1, $2)
                 ON CONFLICT (code) DO UPDATE SET description = excluded.description"
            }
        }
    }

    const fn all(self) -> &'static str {
        match self {
            Self::Classes => "SELECT code, description FROM authority_member_class ORDER BY code",
            Self::Categories => "SELECT code, description FROM authority_security_category ORDER BY code",
            Self::Groups => "SELECT code, description FROM authority_group ORDER BY code",
        }
    }
}

/// A code with its description, or a correction of the description.
pub(crate) fn put_code(tx: &mut Tx<'_>, list: List, code: &str, description: &str) -> Result<(), AuthorityError> {
    tx.execute(list.put(), &params![code, description])?;
    Ok(())
}

/// Every code with its description.
pub(crate) fn codes(tx: &mut Tx<'_>, list: List) -> Result<Vec<(String, String)>, AuthorityError> {
    let rows = tx.query(list.all(), &[])?;
    rows.iter().take(ROWS_MAX).map(|row| Ok((row.get("code")?, row.get("description")?))).collect()
}

/// The classes that members may be in.
pub(crate) fn member_classes(tx: &mut Tx<'_>) -> Result<Vec<MemberClass>, AuthorityError> {
    let codes = codes(tx, List::Classes)?;
    Ok(codes.into_iter().map(|(code, description)| MemberClass { code, description }).collect())
}

/// Removes a class that no member is in.
pub(crate) fn delete_class(tx: &mut Tx<'_>, code: &str) -> Result<bool, AuthorityError> {
    for row in tx.query("SELECT id FROM authority_member ORDER BY id", &[])? {
        let id: civic::MemberId = row.get::<String>("id")?.parse()?;
        if id.class() == code {
            return Err(AuthorityError::InUse { what: format!("the class {code}"), by: id.to_string() });
        }
    }
    Ok(tx.execute("DELETE FROM authority_member_class WHERE code = $1", &params![code])? > 0)
}

/// Removes a category, also from the nodes that have it.
pub(crate) fn delete_category(tx: &mut Tx<'_>, code: &str) -> Result<bool, AuthorityError> {
    tx.execute("DELETE FROM authority_server_category WHERE category = $1", &params![code])?;
    Ok(tx.execute("DELETE FROM authority_security_category WHERE code = $1", &params![code])? > 0)
}

/// The categories of a node, in the place of those before.
pub(crate) fn set_categories(tx: &mut Tx<'_>, id: &ServerId, categories: &[String]) -> Result<(), AuthorityError> {
    require_server(tx, id)?;
    tx.execute("DELETE FROM authority_server_category WHERE server = $1", &params![id.to_string()])?;
    for category in categories {
        let known =
            tx.query_one("SELECT code FROM authority_security_category WHERE code = $1", &params![category.as_str()])?;
        if known.is_none() {
            return Err(AuthorityError::Unknown { what: "security category", id: category.clone() });
        }
        tx.execute(
            "INSERT INTO authority_server_category (server, category) VALUES ($1, $2)
             ON CONFLICT (server, category) DO NOTHING",
            &params![id.to_string(), category.as_str()],
        )?;
    }
    Ok(())
}

/// The categories of every node.
pub(crate) fn categories_of_servers(
    tx: &mut Tx<'_>,
) -> Result<std::collections::BTreeMap<String, Vec<String>>, AuthorityError> {
    let sql = "SELECT server AS owner, category FROM authority_server_category ORDER BY category";
    grouped(tx, sql, &[], |row| Ok(row.get("category")?))
}

/// The groups with their members.
pub(crate) fn groups(tx: &mut Tx<'_>) -> Result<Vec<GlobalGroup>, AuthorityError> {
    let members = "SELECT group_code AS owner, client FROM authority_group_member ORDER BY client";
    let mut members = grouped(tx, members, &[], |row| Ok(row.get::<String>("client")?.parse::<ClientId>()?))?;
    let groups = codes(tx, List::Groups)?.into_iter().map(|(code, description)| GlobalGroup {
        members: members.remove(&code).unwrap_or_default(),
        code,
        description,
    });
    Ok(groups.collect())
}

/// Removes a group with its memberships.
pub(crate) fn delete_group(tx: &mut Tx<'_>, code: &str) -> Result<bool, AuthorityError> {
    tx.execute("DELETE FROM authority_group_member WHERE group_code = $1", &params![code])?;
    Ok(tx.execute("DELETE FROM authority_group WHERE code = $1", &params![code])? > 0)
}

/// A registered client joins a group.
pub(crate) fn put_group_member(tx: &mut Tx<'_>, code: &str, client: &ClientId) -> Result<(), AuthorityError> {
    let known = tx.query_one("SELECT code FROM authority_group WHERE code = $1", &params![code])?;
    known.ok_or_else(|| AuthorityError::Unknown { what: "group", id: code.to_owned() })?;
    require_client(tx, client)?;
    tx.execute(
        "INSERT INTO authority_group_member (group_code, client) VALUES ($1, $2)
         ON CONFLICT (group_code, client) DO NOTHING",
        &params![code, client.to_string()],
    )?;
    Ok(())
}

/// Whether it was in the group.
pub(crate) fn delete_group_member(tx: &mut Tx<'_>, code: &str, client: &ClientId) -> Result<bool, AuthorityError> {
    let deleted = tx.execute(
        "DELETE FROM authority_group_member WHERE group_code = $1 AND client = $2",
        &params![code, client.to_string()],
    )?;
    Ok(deleted > 0)
}

/// Approves an authority, or corrects its settings.
pub(crate) fn put_approval(tx: &mut Tx<'_>, approval: &Approval) -> Result<(), AuthorityError> {
    let settings = serde_json::to_string(approval).map_err(|error| AuthorityError::Settings(error.to_string()))?;
    tx.execute(
        "INSERT INTO authority_approved (id, kind, settings) VALUES ($1, $2, $3)
         ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, settings = excluded.settings",
        &params![approval.id()?, approval.kind(), settings],
    )?;
    Ok(())
}

/// The approved authorities beside our own.
pub(crate) fn approvals(tx: &mut Tx<'_>) -> Result<Vec<Approval>, AuthorityError> {
    let rows = tx.query("SELECT settings FROM authority_approved ORDER BY kind, id", &[])?;
    rows.iter()
        .take(ROWS_MAX)
        .map(|row| {
            let settings: String = row.get("settings")?;
            serde_json::from_str(&settings).map_err(|error| AuthorityError::Settings(error.to_string()))
        })
        .collect()
}

/// Whether it was approved.
pub(crate) fn delete_approval(tx: &mut Tx<'_>, id: &str) -> Result<bool, AuthorityError> {
    Ok(tx.execute("DELETE FROM authority_approved WHERE id = $1", &params![id])? > 0)
}

/// Federates with an instance, or takes its new anchor.
pub(crate) fn put_federation(tx: &mut Tx<'_>, instance: &str, anchor: &str) -> Result<(), AuthorityError> {
    tx.execute(
        "INSERT INTO authority_federation (instance, anchor) VALUES ($1, $2)
         ON CONFLICT (instance) DO UPDATE SET anchor = excluded.anchor",
        &params![instance, anchor],
    )?;
    Ok(())
}

/// The instances with their anchors.
pub(crate) fn federation(tx: &mut Tx<'_>) -> Result<Vec<(String, String)>, AuthorityError> {
    let rows = tx.query("SELECT instance, anchor FROM authority_federation ORDER BY instance", &[])?;
    rows.iter().take(ROWS_MAX).map(|row| Ok((row.get("instance")?, row.get("anchor")?))).collect()
}

/// Whether we were federated with it.
pub(crate) fn delete_federation(tx: &mut Tx<'_>, instance: &str) -> Result<bool, AuthorityError> {
    Ok(tx.execute("DELETE FROM authority_federation WHERE instance = $1", &params![instance])? > 0)
}
