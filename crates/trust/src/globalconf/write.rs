//! Writing: the shared parameters in each version; private parameters and anchors have kept one form since version 2.
//! Element order is that of the schemas; what is written validates against them.

use std::collections::HashMap;
use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use civic::{ClientId, Timestamp};

use super::values::{
    Anchor, ApprovedCa, ApprovedTsa, CaInfo, ConfigurationVersion, CostType, GlobalGroup, Member, PrivateParams,
    SecurityServer, SharedParams,
};
use crate::xml::escape_text;

/// Writes `shared-params.xml` of that version: what it has no element for is left out. So are nodes and clients that no
/// member of `params` stands behind, since the form cannot name them. Versions 3 and later need one source at least.
pub fn write_shared(params: &SharedParams, version: ConfigurationVersion) -> String {
    let mut out = Writer::open("conf", version);
    out.text("instanceIdentifier", &params.instance);
    for source in params.sources.iter().filter(|_| version >= ConfigurationVersion::V3) {
        out.element("source", |out| {
            out.text("address", &source.address);
            out.blobs("internalVerificationCert", &source.internal_certs);
            out.blobs("externalVerificationCert", &source.external_certs);
        });
    }
    params.approved_cas.iter().for_each(|ca| approved_ca(&mut out, ca));
    params.approved_tsas.iter().for_each(|tsa| approved_tsa(&mut out, tsa));
    let mut ids = HashMap::new();
    params.members.iter().for_each(|member| write_member(&mut out, params, member, &mut ids));
    params.servers.iter().for_each(|server| write_server(&mut out, server, &ids));
    params.groups.iter().for_each(|group| write_group(&mut out, group));
    out.element("globalSettings", |out| {
        for class in &params.member_classes {
            out.element("memberClass", |out| {
                out.text("code", &class.code);
                out.text("description", &class.description);
            });
        }
        out.text("ocspFreshnessSeconds", &params.ocsp_freshness_s.to_string());
    });
    out.close("conf")
}

/// Writes `private-params.xml`, which every version shares.
pub fn write_private(params: &PrivateParams) -> String {
    let mut out = Writer::open("conf", ConfigurationVersion::V2);
    out.text("instanceIdentifier", &params.instance);
    for anchor in &params.anchors {
        out.element("configurationAnchor", |out| anchor_content(out, anchor));
    }
    out.element("managementService", |out| {
        out.text("authCertRegServiceAddress", &params.management.auth_cert_reg_address);
        if let Some(cert) = &params.management.auth_cert_reg_cert {
            out.blob("authCertRegServiceCert", cert);
        }
        client(out, "managementRequestServiceProviderId", &params.management.provider);
    });
    out.text("timeStampingIntervalSeconds", &params.time_stamping_interval_s.to_string());
    out.close("conf")
}

/// Writes an anchor file.
pub fn write_anchor(anchor: &Anchor) -> String {
    let mut out = Writer::open("configurationAnchor", ConfigurationVersion::V2);
    anchor_content(&mut out, anchor);
    out.close("configurationAnchor")
}

fn anchor_content(out: &mut Writer, anchor: &Anchor) {
    if let Some(moment) = anchor.generated_at {
        out.text("generatedAt", &Timestamp::from_millis(moment.millis()).rfc3339());
    }
    out.text("instanceIdentifier", &anchor.instance);
    for source in &anchor.sources {
        out.element("source", |out| {
            out.text("downloadURL", &source.download_url);
            out.blobs("verificationCert", &source.certs);
        });
    }
}

fn approved_ca(out: &mut Writer, ca: &ApprovedCa) {
    out.element("approvedCA", |out| {
        out.text("name", &ca.name);
        out.text("authenticationOnly", if ca.authentication_only { "true" } else { "false" });
        ca_info(out, "topCA", &ca.top);
        ca.intermediates.iter().for_each(|info| ca_info(out, "intermediateCA", info));
        out.text("certificateProfileInfo", &ca.certificate_profile);
        if let Some(format) = ca.csr_format.filter(|_| out.version >= ConfigurationVersion::V6) {
            out.text("defaultCsrFormat", format.name());
        }
        if let Some(acme) = ca.acme.as_ref().filter(|_| out.version >= ConfigurationVersion::V3) {
            out.element("acmeServer", |out| {
                out.text("directoryURL", &acme.directory_url);
                out.optional("ipAddress", acme.ip_address.as_deref());
                if out.version >= ConfigurationVersion::V4 {
                    out.optional("authenticationCertificateProfileId", acme.authentication_profile_id.as_deref());
                    out.optional("signingCertificateProfileId", acme.signing_profile_id.as_deref());
                }
            });
        }
    });
}

fn approved_tsa(out: &mut Writer, tsa: &ApprovedTsa) {
    out.element("approvedTSA", |out| {
        out.text("name", &tsa.name);
        out.text("url", &tsa.url);
        out.blob("cert", &tsa.cert);
        write_cost(out, tsa.cost);
    });
}

fn write_cost(out: &mut Writer, cost: Option<CostType>) {
    if let Some(cost) = cost.filter(|_| out.version >= ConfigurationVersion::V6) {
        out.text("costType", cost.name());
    }
}

fn ca_info(out: &mut Writer, name: &str, info: &CaInfo) {
    out.element(name, |out| {
        out.blob("cert", &info.cert);
        for ocsp in &info.ocsp {
            out.element("ocsp", |out| {
                out.text("url", &ocsp.url);
                if let Some(cert) = &ocsp.cert {
                    out.blob("cert", cert);
                }
                write_cost(out, ocsp.cost);
            });
        }
    });
}

/// The XML ids by which nodes name their owner and clients.
type Ids = HashMap<ClientId, String>;

fn write_member(out: &mut Writer, params: &SharedParams, member: &Member, ids: &mut Ids) {
    let member_ref = format!("id{}", ids.len());
    ids.insert(ClientId::of_member(member.id.clone()), member_ref.clone());
    out.element_with_id("member", &member_ref, |out| {
        out.element("memberClass", |out| {
            let class = params.member_classes.iter().find(|class| class.code == member.id.class());
            out.text("code", member.id.class());
            out.text("description", class.map_or(member.id.class(), |class| &class.description));
        });
        out.text("memberCode", member.id.code());
        out.text("name", &member.name);
        for subsystem in &member.subsystems {
            let Ok(client) = member.id.subsystem(&subsystem.code) else { continue };
            let subsystem_ref = format!("id{}", ids.len());
            ids.insert(client, subsystem_ref.clone());
            out.element_with_id("subsystem", &subsystem_ref, |out| {
                out.text("subsystemCode", &subsystem.code);
                if out.version >= ConfigurationVersion::V5 {
                    out.optional("subsystemName", subsystem.name.as_deref());
                }
            });
        }
    });
}

fn write_server(out: &mut Writer, server: &SecurityServer, ids: &Ids) {
    let Some(owner) = ids.get(&ClientId::of_member(server.id.owner().clone())) else { return };
    out.element("securityServer", |out| {
        out.text("owner", owner);
        out.text("serverCode", server.id.code());
        out.optional("address", server.address.as_deref());
        let len = out.version.auth_cert_hash_len();
        for hash in server.auth_cert_hashes.iter().filter(|hash| hash.len() == len) {
            out.blob("authCertHash", hash);
        }
        for client in server.clients.iter().filter_map(|client| ids.get(client)) {
            out.text("client", client);
        }
        if let Some(message) = server.maintenance.as_ref().filter(|_| out.version >= ConfigurationVersion::V5) {
            out.element("inMaintenanceMode", |out| out.text("message", message));
        }
    });
}

fn write_group(out: &mut Writer, group: &GlobalGroup) {
    out.element("globalGroup", |out| {
        out.text("groupCode", &group.code);
        out.text("description", &group.description);
        group.members.iter().for_each(|member| client(out, "groupMember", member));
    });
}

fn client(out: &mut Writer, name: &str, client: &ClientId) {
    let kind = if client.subsystem().is_some() { "SUBSYSTEM" } else { "MEMBER" };
    out.raw_element(name, &format!(" id:objectType=\"{kind}\""), |out| {
        out.text("id:xRoadInstance", client.member().instance());
        out.text("id:memberClass", client.member().class());
        out.text("id:memberCode", client.member().code());
        out.optional("id:subsystemCode", client.subsystem());
    });
}

/// Indented XML of a form that is known beforehand. Names come from this file only, so they need no escaping.
struct Writer {
    out: String,
    depth: usize,
    version: ConfigurationVersion,
}

impl Writer {
    fn open(root: &str, version: ConfigurationVersion) -> Self {
        let mut out = String::with_capacity(64 * 1024);
        out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>\n");
        // Writing to a String cannot fail; the results are dropped for that reason only.
        let _ = writeln!(
            out,
            "<tns:{root} xmlns:id=\"http://x-road.eu/xsd/identifiers\" xmlns:tns=\"http://x-road.eu/xsd/xroad.xsd\">"
        );
        Self { out, depth: 1, version }
    }

    fn close(mut self, root: &str) -> String {
        let _ = writeln!(self.out, "</tns:{root}>");
        self.out
    }

    fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.raw_element(name, "", content);
    }

    fn element_with_id(&mut self, name: &str, id: &str, content: impl FnOnce(&mut Self)) {
        self.raw_element(name, &format!(" id=\"{id}\""), content);
    }

    fn raw_element(&mut self, name: &str, attributes: &str, content: impl FnOnce(&mut Self)) {
        let indent = self.depth * 4;
        let _ = writeln!(self.out, "{:indent$}<{name}{attributes}>", "");
        self.depth += 1;
        content(self);
        self.depth -= 1;
        let _ = writeln!(self.out, "{:indent$}</{name}>", "");
    }

    fn text(&mut self, name: &str, text: &str) {
        let indent = self.depth * 4;
        let _ = writeln!(self.out, "{:indent$}<{name}>{}</{name}>", "", escape_text(text));
    }

    fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn blob(&mut self, name: &str, bytes: &[u8]) {
        self.text(name, &STANDARD.encode(bytes));
    }

    fn blobs(&mut self, name: &str, many: &[Vec<u8>]) {
        for bytes in many {
            self.blob(name, bytes);
        }
    }
}
