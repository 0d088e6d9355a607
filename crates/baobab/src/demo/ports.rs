//! Which port serves what, counted from the first port of the demo.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::bail;
use tokio::net::TcpListener;

/// The ports of a demo nation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    base: u16,
}

/// An organisation with a node of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Organisation {
    Agency,
    Civil,
    Fisc,
    Bank,
}

impl Organisation {
    pub(super) const ALL: [Self; 4] = [Self::Agency, Self::Civil, Self::Fisc, Self::Bank];

    /// The folder of its data.
    pub(super) const fn folder(self) -> &'static str {
        match self {
            Self::Agency => "agency",
            Self::Civil => "etat-civil",
            Self::Fisc => "impots",
            Self::Bank => "banque",
        }
    }

    /// Its name, as people know it.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Agency => "Agence du numérique",
            Self::Civil => "État civil",
            Self::Fisc => "Impôts",
            Self::Bank => "Banque du Fleuve",
        }
    }

    /// The subsystem under which it sends and answers.
    pub(super) const fn client(self) -> &'static str {
        match self {
            Self::Agency => "BB/GOV/1000/portal",
            Self::Civil => "BB/GOV/1001/etat-civil",
            Self::Fisc => "BB/GOV/1002/fisc",
            Self::Bank => "BB/COM/2001/credit",
        }
    }

    const fn offset(self) -> u16 {
        match self {
            Self::Agency => 10,
            Self::Civil => 20,
            Self::Fisc => 30,
            Self::Bank => 40,
        }
    }
}

/// X-Road's 5577 stands 77 above its 5500; so does every OCSP port above its transport port (decision 0006).
const OCSP_ABOVE_TRANSPORT: u16 = 77;

impl Ports {
    pub(super) const fn from(base: u16) -> Self {
        Self { base }
    }

    pub(super) const fn portal(self) -> u16 {
        self.base
    }

    pub(super) const fn identity(self) -> u16 {
        self.base + 1
    }

    pub(super) const fn bank(self) -> u16 {
        self.base + 2
    }

    pub(super) const fn phone(self) -> u16 {
        self.base + 3
    }

    pub(super) const fn authority(self) -> u16 {
        self.base + 4
    }

    /// The log that an organisation keeps; the agency and the bank do.
    pub(super) const fn log(self, owner: Organisation) -> u16 {
        match owner {
            Organisation::Agency | Organisation::Civil | Organisation::Fisc => self.base + 5,
            Organisation::Bank => self.base + 7,
        }
    }

    pub(super) const fn notary(self) -> u16 {
        self.base + 9
    }

    /// The witness of an organisation that keeps a log.
    pub(super) const fn witness(self, owner: Organisation) -> u16 {
        self.log(owner) + 1
    }

    pub(super) const fn consumer(self, organisation: Organisation) -> u16 {
        self.base + organisation.offset()
    }

    pub(super) const fn transport(self, organisation: Organisation) -> u16 {
        self.base + organisation.offset() + 1
    }

    pub(super) const fn ocsp(self, organisation: Organisation) -> u16 {
        self.transport(organisation) + OCSP_ABOVE_TRANSPORT
    }

    pub(super) const fn admin(self, organisation: Organisation) -> u16 {
        self.base + organisation.offset() + 3
    }

    /// The information system behind a node; of the agency, the management services of its authority.
    pub(super) const fn service(self, organisation: Organisation) -> u16 {
        self.base + organisation.offset() + 5
    }

    /// Refuses to start where a port is taken, and says which.
    pub(super) async fn check_free(self) -> anyhow::Result<()> {
        let mut ports = vec![
            self.portal(),
            self.identity(),
            self.bank(),
            self.phone(),
            self.authority(),
            self.log(Organisation::Agency),
            self.witness(Organisation::Agency),
            self.log(Organisation::Bank),
            self.witness(Organisation::Bank),
            self.notary(),
            self.service(Organisation::Agency),
            self.service(Organisation::Civil),
            self.service(Organisation::Fisc),
        ];
        for organisation in Organisation::ALL {
            ports.extend([
                self.consumer(organisation),
                self.transport(organisation),
                self.ocsp(organisation),
                self.admin(organisation),
            ]);
        }
        for port in ports {
            if let Err(error) = TcpListener::bind(local(port)).await {
                bail!(
                    "port {port} cannot be used ({error}); choose other ports with --port-base, for instance --port-base 18600"
                );
            }
        }
        Ok(())
    }
}

/// A port of this machine that no other machine reaches.
pub(super) const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// An address for people and browsers: passkeys are bound to the name `localhost`.
pub(super) fn public_url(port: u16) -> String {
    format!("http://localhost:{port}")
}

/// An address for programs.
pub(super) fn socket_url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}
