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

/// What `cargo xtask test` needs: a browser, the second engine, a token, and the judges of our signatures.
pub(crate) const FOR_TESTS: &[Package] = &[
    Package { name: "chromium", program: "chromium" },
    Package { name: "chromium-driver", program: "chromedriver" },
    Package { name: "postgresql", program: "initdb" },
    Package { name: "openssl", program: "openssl" },
    Package { name: "libssl-dev", program: "/usr/include/openssl/ssl.h" },
    Package { name: "pkg-config", program: "pkg-config" },
    Package { name: "softhsm2", program: "softhsm2-util" },
    Package { name: "xmlsec1", program: "xmlsec1" },
    Package { name: "libxml2-utils", program: "xmllint" },
    Package { name: "strace", program: "strace" },
    Package { name: "iproute2", program: "ip" },
    Package { name: "golang-go", program: "go" },
    Package { name: "golang-golang-x-mod-dev", program: "/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog/tlog.go" },
    Package { name: "nodejs", program: "node" },
    Package { name: "npm", program: "npm" },
    Package { name: "python3-venv", program: "python3" },
    Package { name: "fonts-dejavu-core", program: "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf" },
];

/// What `cargo xtask bench` needs.
pub(crate) const FOR_BENCHES: &[Package] = &[
    Package { name: "nginx-light", program: "nginx" },
    Package { name: "wrk", program: "wrk" },
    Package { name: "curl", program: "curl" },
    Package { name: "strace", program: "strace" },
    Package { name: "openssl", program: "openssl" },
];

/// What `cargo xtask powercut` needs beside; the kernel of its machine is fetched and not installed.
pub(crate) const FOR_POWERCUT: &[Package] = &[
    Package { name: "qemu-system-x86", program: "qemu-system-x86_64" },
    Package { name: "busybox-static", program: "busybox" },
    Package { name: "cpio", program: "cpio" },
    Package { name: "e2fsprogs", program: "mke2fs" },
    Package { name: "libeatmydata1", program: "/usr/lib/x86_64-linux-gnu/libeatmydata.so" },
    Package { name: "postgresql", program: "initdb" },
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

/// Judges of the ledger from the Python registry, in these versions. They ask for Python 3.12 and run on 3.11.
/// moto is an S3 server by another hand.
const JUDGES: &[&str] =
    &["aics-tlog==0.2.1", "aics-witness==0.1.0", "metamorphic-log==0.1.11", "moto[s3,server]==5.2.1"];

/// A Python that has the judges, in an environment of its own below the folder; `None`, said aloud, where the registry
/// cannot be reached: the tests that ask them are then left out.
pub(crate) fn judges(folder: &Path) -> Option<std::path::PathBuf> {
    let home = folder.join("judges");
    let python = home.join("bin/python");
    let marker = home.join("installed");
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == JUDGES.join("\n")) {
        return Some(python);
    }
    step("installing the judges of the ledger with pip");
    let made = check(Command::new("python3").args(["-m", "venv"]).arg(&home)).and_then(|()| {
        let options = ["-m", "pip", "install", "--quiet", "--ignore-requires-python"];
        check(Command::new(&python).args(options).args(JUDGES))
    });
    if let Err(error) = made {
        step(&format!("LEFT OUT: the judges of the ledger are not installed ({error})"));
        return None;
    }
    std::fs::write(&marker, JUDGES.join("\n")).ok()?;
    Some(python)
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
