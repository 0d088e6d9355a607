//! Debian packages that tests and benches need beside Rust and a C compiler.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

use crate::{check, output, step};

/// A Debian package and a program by which its presence is seen.
pub(crate) struct Package {
    name: &'static str,
    program: &'static str,
}

/// What `cargo xtask test` needs: a browser, the second engine, and the judges of our signatures.
pub(crate) const FOR_TESTS: &[Package] = &[
    Package { name: "chromium", program: "chromium" },
    Package { name: "chromium-driver", program: "chromedriver" },
    Package { name: "postgresql", program: "initdb" },
    Package { name: "openssl", program: "openssl" },
    Package { name: "xmlsec1", program: "xmlsec1" },
    Package { name: "libxml2-utils", program: "xmllint" },
    Package { name: "fonts-dejavu-core", program: "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf" },
];

/// What `cargo xtask bench` needs.
pub(crate) const FOR_BENCHES: &[Package] = &[
    Package { name: "nginx-light", program: "nginx" },
    Package { name: "wrk", program: "wrk" },
    Package { name: "strace", program: "strace" },
    Package { name: "openssl", program: "openssl" },
];

/// Installs the packages that are missing; where this is not root, says exactly what to type.
pub(crate) fn ensure(packages: &[Package]) -> anyhow::Result<()> {
    let missing: Vec<&str> =
        packages.iter().filter(|package| !present(package.program)).map(|package| package.name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if output(Command::new("id").arg("-u"))?.trim() != "0" {
        bail!(
            "these Debian packages are needed and this is not root; type:\n    sudo apt-get install --no-install-recommends {list}\nthen run the same command again"
        );
    }
    step(&format!("installing with apt-get: {list}"));
    check(Command::new("apt-get").args(["update", "--quiet"]))?;
    check(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["install", "--yes", "--quiet", "--no-install-recommends"])
            .args(&missing),
    )
}

/// Whether a program is on the PATH, in a place where Debian hides it, or (an absolute path) a file.
fn present(program: &str) -> bool {
    find(program).is_some()
}

/// The full path of a program.
pub(crate) fn find(program: &str) -> Option<std::path::PathBuf> {
    let absolute = Path::new(program);
    if absolute.is_absolute() {
        return absolute.exists().then(|| absolute.to_path_buf());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/bin", "/sbin"].map(std::path::PathBuf::from));
    // Debian keeps the server programs of each PostgreSQL version in a folder of their own.
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    folders.into_iter().map(|folder| folder.join(program)).find(|candidate| candidate.is_file())
}
