//! The power is cut: a log runs in a machine of its own (QEMU, no hardware help), which is killed at random moments. What
//! its kernel had not flushed to the disk is gone, as when a plug is pulled; a keeper outside knows what was acknowledged.
//!
//! The control is the same with flushes that do nothing (`libeatmydata`): it must lose data, or the test proves nothing.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::packages::{self, find};
use crate::{cargo, check, output, step, target};

/// Modules of Debian's cloud kernel that the machine needs, in this order.
const MODULES: &[&str] = &[
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/block/virtio_blk.ko",
    "drivers/char/virtio_console.ko",
];
const CALLERS: u32 = 32;
const EATMYDATA: &str = "/usr/lib/x86_64-linux-gnu/libeatmydata.so";
/// The keeper ends so where something was lost.
const LOST: i32 = 3;

/// Cuts the power so many times on each engine, and of the control.
pub(crate) fn run(rounds: u32, control: u32, seed: u64, engines: &[String]) -> anyhow::Result<()> {
    packages::ensure(packages::FOR_POWERCUT)?;
    step("building the release example");
    check(&mut cargo(&["build", "--release", "--package", "ledger", "--example", "powercut"]))?;
    let folder = PathBuf::from(output(Command::new("mktemp").args(["--directory", "/tmp/baobab-cut-XXXXXX"]))?.trim());
    let machine = Machine::assemble(&folder)?;
    for engine in engines {
        step(&format!("{engine}: {rounds} cuts under {CALLERS} callers"));
        let lost = machine.cut(engine, false, rounds, seed)?;
        if lost {
            bail!("{engine}: acknowledged entries were lost; the disk is in {}", folder.display());
        }
        let mut found = 0;
        for round in 0..control {
            step(&format!("{engine}, control {}: flushes do nothing", round + 1));
            found += u32::from(machine.cut(engine, true, 1, seed + 1 + u64::from(round))?);
        }
        step(&format!("{engine}: the control lost data in {found} of {control} cuts"));
        if control > 0 && found == 0 {
            bail!("{engine}: the control lost nothing, so the test proves nothing");
        }
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// What is common to all rounds.
struct Machine {
    folder: PathBuf,
    kernel: PathBuf,
}

impl Machine {
    fn assemble(folder: &Path) -> anyhow::Result<Self> {
        let kernel = fetch_kernel(folder)?;
        let machine = Self { folder: folder.to_owned(), kernel };
        step("assembling the machine");
        machine.make_initramfs()?;
        machine.make_system()?;
        Ok(machine)
    }

    /// busybox, the modules, and a script that mounts the two disks.
    fn make_initramfs(&self) -> anyhow::Result<()> {
        let root = self.folder.join("initramfs");
        for name in ["bin", "dev", "proc", "sys", "system", "modules"] {
            fs::create_dir_all(root.join(name))?;
        }
        let busybox = find("busybox").context("busybox is missing: install the Debian package busybox-static")?;
        fs::copy(busybox, root.join("bin/busybox"))?;
        let mut load = String::new();
        let modules = self.modules()?;
        for module in MODULES {
            let name = module.rsplit('/').next().unwrap_or(module);
            fs::copy(modules.join(module), root.join("modules").join(name))?;
            writeln!(load, "$B insmod /modules/{name}")?;
        }
        let script = format!("{INIT}{load}{MOUNT}");
        write_program(&root.join("init"), &script)?;
        let archive = self.folder.join("initramfs.cpio");
        let pack = format!("find . | cpio --quiet -o -H newc > {}", archive.display());
        check(Command::new("sh").args(["-c", &pack]).current_dir(&root))
    }

    fn modules(&self) -> anyhow::Result<PathBuf> {
        let versions = self.folder.join("kernel/lib/modules");
        let version = fs::read_dir(&versions)?.next().context("the kernel package has no modules")??;
        Ok(version.path().join("kernel"))
    }

    /// The programs with their libraries, as a disk that is only read.
    fn make_system(&self) -> anyhow::Result<()> {
        let root = self.folder.join("system");
        for name in ["bin", "dev", "proc", "sys", "data", "tmp", "etc", "lib64"] {
            fs::create_dir_all(root.join(name))?;
        }
        let busybox = find("busybox").context("busybox is missing")?;
        fs::copy(busybox, root.join("bin/busybox"))?;
        std::os::unix::fs::symlink("busybox", root.join("bin/sh"))?;
        fs::copy(target().join("release/examples/powercut"), root.join("bin/powercut"))?;
        let postgres = find("postgres").context("postgres is missing: install the Debian package postgresql")?;
        let postgres = fs::canonicalize(postgres)?;
        copy_with_libraries(&postgres, &root)?;
        copy_with_libraries(Path::new(EATMYDATA), &root)?;
        copy_libraries(&root.join("bin/powercut"), &root)?;
        let version = postgres.ancestors().nth(2).and_then(Path::file_name).context("an unknown home of PostgreSQL")?;
        for tree in [PathBuf::from("/usr/share/postgresql").join(version), "/usr/share/zoneinfo".into()] {
            copy_tree(&tree, &root)?;
        }
        for library in ["dict_snowball.so", "plpgsql.so"] {
            let path = Path::new("/usr/lib/postgresql").join(version).join("lib").join(library);
            copy_with_libraries(&path, &root)?;
        }
        let account = output(Command::new("getent").args(["passwd", "postgres"]))?;
        fs::write(root.join("etc/passwd"), format!("root:x:0:0:root:/:/bin/sh\n{account}"))?;
        fs::write(root.join("etc/group"), output(Command::new("getent").args(["group", "postgres"]))?)?;
        write_program(&root.join("bin/start"), &START.replace("{postgres}", &postgres.display().to_string()))?;
        make_disk(&self.folder.join("system.img"), "600M", &root)
    }

    /// Cuts the power so often on a fresh disk; whether anything was lost.
    fn cut(&self, engine: &str, control: bool, rounds: u32, seed: u64) -> anyhow::Result<bool> {
        let data = self.folder.join("data");
        drop(fs::remove_dir_all(&data));
        fs::create_dir_all(data.join("postgres"))?;
        if engine == "postgres" {
            self.make_cluster(&data.join("postgres"))?;
        }
        let disk = self.folder.join("data.img");
        make_disk(&disk, "2G", &data)?;
        let preload = if control { EATMYDATA } else { "" };
        let append = format!(
            "console=ttyS0 quiet panic=-1 no_timer_check engine={engine} callers={CALLERS} round={{round}} preload={preload}"
        );
        let status = Command::new(target().join("release/examples/powercut"))
            .args(["keeper", &rounds.to_string(), &seed.to_string(), "4000", "qemu-system-x86_64"])
            .args(["-accel", "tcg,thread=multi", "-smp", "2", "-m", "768", "-nodefaults", "-no-reboot"])
            .args(["-display", "none", "-kernel"])
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(self.folder.join("initramfs.cpio"))
            .args(["-append", &append])
            .args(["-drive", &drive(&self.folder.join("system.img"), "on")])
            // What the guest wrote is the host's; what it kept to itself is lost with it.
            .args(["-drive", &drive(&disk, "off")])
            .args(["-device", "virtio-serial-pci", "-chardev", "file,id=keeper,path=/dev/stdout"])
            .args(["-device", "virtserialport,chardev=keeper,name=keeper", "-serial"])
            .arg(format!("file:{}", self.folder.join("console.log").display()))
            .stdin(Stdio::null())
            .status()?;
        match status.code() {
            Some(0) => Ok(false),
            Some(LOST) => Ok(true),
            _ => bail!("the keeper failed ({status}); the console is in {}", self.folder.display()),
        }
    }

    fn make_cluster(&self, data: &Path) -> anyhow::Result<()> {
        let initdb = find("initdb").context("initdb is missing: install the Debian package postgresql")?;
        check(Command::new("chown").arg("postgres").arg(data))?;
        check(Command::new("chmod").arg("700").arg(data))?;
        // The folders above are only this user's until here.
        check(Command::new("chmod").arg("755").arg(&self.folder))?;
        check(
            Command::new("runuser")
                .args(["-u", "postgres", "--"])
                .arg(initdb)
                .args(["--username=baobab", "--auth=trust", "--encoding=UTF8", "--locale=C", "--pgdata"])
                .arg(data)
                .current_dir("/tmp")
                .stdout(Stdio::null()),
        )
    }
}

fn drive(image: &Path, readonly: &str) -> String {
    format!("file={},if=virtio,format=raw,cache=writeback,readonly={readonly}", image.display())
}

/// The kernel of Debian's package, unpacked and not installed.
fn fetch_kernel(folder: &Path) -> anyhow::Result<PathBuf> {
    step("fetching Debian's cloud kernel");
    let depends = output(Command::new("apt-cache").args(["depends", "linux-image-cloud-amd64"]))?;
    let name = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image"));
    let name = format!("linux-image{}", name.context("apt-cache knows no linux-image-cloud-amd64: apt-get update")?);
    check(Command::new("apt-get").args(["download", "--quiet", &name]).current_dir(folder).stdout(Stdio::null()))?;
    let deb = fs::read_dir(folder)?
        .filter_map(Result::ok)
        .map(|item| item.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("the kernel package did not come")?;
    check(Command::new("dpkg").arg("-x").arg(deb).arg(folder.join("kernel")))?;
    let boot = fs::read_dir(folder.join("kernel/boot"))?.filter_map(Result::ok).map(|item| item.path());
    let mut kernels = boot.filter(|path| path.to_string_lossy().contains("/vmlinuz-"));
    kernels.next().context("the kernel package has no kernel")
}

/// A disk image of ext4 with these files.
fn make_disk(image: &Path, size: &str, files: &Path) -> anyhow::Result<()> {
    drop(fs::remove_file(image));
    let mut command = Command::new("mke2fs");
    command.args(["-q", "-t", "ext4", "-d"]).arg(files).arg(image).arg(size);
    check(&mut command)
}

fn write_program(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
}

fn copy_with_libraries(program: &Path, root: &Path) -> anyhow::Result<()> {
    let inside = root.join(program.strip_prefix("/")?);
    fs::create_dir_all(inside.parent().context("a file has a folder")?)?;
    fs::copy(program, &inside).with_context(|| program.display().to_string())?;
    copy_libraries(program, root)
}

/// The libraries that a program is linked with, by the loader's own account.
fn copy_libraries(program: &Path, root: &Path) -> anyhow::Result<()> {
    for line in output(Command::new("ldd").arg(program))?.lines() {
        let Some(path) = line.split_whitespace().find(|word| word.starts_with('/')) else { continue };
        let inside = root.join(Path::new(path).strip_prefix("/")?);
        fs::create_dir_all(inside.parent().context("a file has a folder")?)?;
        fs::copy(path, inside)?;
    }
    Ok(())
}

fn copy_tree(tree: &Path, root: &Path) -> anyhow::Result<()> {
    let inside = root.join(tree.strip_prefix("/")?);
    fs::create_dir_all(inside.parent().context("a folder has a folder")?)?;
    check(Command::new("cp").args(["--recursive", "--dereference"]).arg(tree).arg(inside))
}

const INIT: &str = "#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc none /proc
$B mount -t sysfs none /sys
$B mount -t devtmpfs none /dev
";
const MOUNT: &str = "$B mount -t ext4 -o ro /dev/vda /system
$B mount -t ext4 /dev/vdb /system/data
$B mount -t proc none /system/proc
$B mount -t sysfs none /system/sys
$B mount -t devtmpfs none /system/dev
$B mount -t tmpfs none /system/tmp
exec $B chroot /system /bin/start
";
/// What the machine does: the database where there is one, then the log, which speaks to the keeper.
const START: &str = "#!/bin/busybox sh
B=/bin/busybox
for word in $($B cat /proc/cmdline); do
  case $word in engine=*|callers=*|round=*|preload=*) eval \"$word\";; esac
done
[ -n \"$preload\" ] && export LD_PRELOAD=$preload
location=sqlite:/data/ledger.db
if [ $engine = postgres ]; then
  $B ifconfig lo 127.0.0.1 up
  $B mkdir -p /dev/shm
  $B mount -t tmpfs -o mode=1777 none /dev/shm
  : > /tmp/postgres.log
  $B tail -f /tmp/postgres.log > /dev/ttyS0 &
  $B su postgres -s /bin/sh -c \"exec {postgres} -D /data/postgres -c listen_addresses=127.0.0.1 -c unix_socket_directories=/tmp -c shared_buffers=64MB\" 2> /tmp/postgres.log &
  location=postgres://baobab@127.0.0.1:5432/postgres
  until $B grep -q 'ready to accept connections' /tmp/postgres.log; do $B sleep 0.2; done
fi
/bin/powercut guest $location /data/tiles $callers $round > $($B echo /dev/vport*p1) 2> /dev/ttyS0
$B poweroff -f
";
