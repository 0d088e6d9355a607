use std::sync::Arc;

use civic::ClientId;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::call::{Call, Reply, Result, client_id};
use super::clients::parse_all;
use super::error::ApiError;
use crate::registry::{Change, LocalGroup};

#[derive(Deserialize)]
struct LocalGroupAdd {
    code: String,
    description: String,
}

#[derive(Deserialize)]
struct LocalGroupDescription {
    description: String,
}

#[derive(Deserialize)]
struct Members {
    items: Vec<String>,
}

pub(super) async fn list(call: Call) -> Result {
    let offer = call.offer();
    let client = call.client(&offer)?;
    let groups = offer.groups.values().filter(|group| group.client == client);
    Ok(Reply::json(json!(groups.map(|group| shown(&call, group)).collect::<Vec<_>>())))
}

pub(super) async fn add(call: Call) -> Result {
    let client = call.client(&call.offer())?;
    let LocalGroupAdd { code, description } = call.json()?;
    let number = call.change(Change::AddGroup { client, code, description }).await?.unwrap_or_default();
    let group = find(&call, number)?;
    Ok(Reply::created(shown(&call, &group)))
}

pub(super) async fn get(call: Call) -> Result {
    let group = find(&call, call.number("id")?)?;
    Ok(Reply::json(shown(&call, &group)))
}

pub(super) async fn update(call: Call) -> Result {
    let number = call.number("id")?;
    let LocalGroupDescription { description } = call.json()?;
    call.change(Change::DescribeGroup { number, description }).await?;
    let group = find(&call, number)?;
    Ok(Reply::json(shown(&call, &group)))
}

pub(super) async fn delete(call: Call) -> Result {
    call.change(Change::RemoveGroup { number: call.number("id")? }).await?;
    Ok(Reply::done())
}

pub(super) async fn add_members(call: Call) -> Result {
    let number = call.number("id")?;
    let group = find(&call, number)?;
    let members = members(&call)?;
    let snapshot = call.snapshot()?;
    if let Some(unknown) = members.iter().find(|member| member.subsystem().is_none() || !snapshot.knows_client(member))
    {
        let what = format!("{} is no subsystem of the federation", client_id(unknown));
        return Err(ApiError::conflict("local_group_member_not_found", what));
    }
    if let Some(twice) = members.iter().find(|member| group.members.contains(member)) {
        let what = format!("{} is in the group already", client_id(twice));
        return Err(ApiError::conflict("local_group_member_already_exists", what));
    }
    call.change(Change::AddMembers { number, members: members.clone() }).await?;
    Ok(Reply::created(json!({ "items": members.iter().map(client_id).collect::<Vec<_>>() })))
}

pub(super) async fn delete_members(call: Call) -> Result {
    let number = call.number("id")?;
    let members = members(&call)?;
    call.change(Change::RemoveMembers { number, members }).await?;
    Ok(Reply::done())
}

fn members(call: &Call) -> Result<Vec<ClientId>> {
    let Members { items } = call.json()?;
    if items.is_empty() {
        return Err(ApiError::bad("name at least one member"));
    }
    parse_all(&items)
}

fn find(call: &Call, number: i64) -> Result<Arc<LocalGroup>> {
    let missing = || ApiError::not_found("local_group_not_found", format!("there is no local group {number}"));
    call.offer().groups.get(&number).map(Arc::clone).ok_or_else(missing)
}

fn shown(call: &Call, group: &LocalGroup) -> Json {
    let snapshot = call.core.conf.current();
    let name = |member: &ClientId| {
        snapshot.as_ref().map_or_else(|| member.member().code().to_owned(), |known| known.member_name(member.member()))
    };
    let mut members: Vec<&ClientId> = group.members.iter().collect();
    members.sort();
    // X-Road's older tools read `name`.
    let member = |member: &ClientId| {
        let (name, since) = (name(member), group.updated.rfc3339());
        json!({ "id": client_id(member), "member_name": name, "name": name, "created_at": since })
    };
    let members: Vec<Json> = members.into_iter().map(member).collect();
    json!({
        "id": group.number.to_string(),
        "code": group.code,
        "description": group.description,
        "member_count": members.len(),
        "updated_at": group.updated.rfc3339(),
        "members": members,
    })
}
