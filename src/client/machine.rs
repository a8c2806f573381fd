//! What this machine is: host name, network adapter, processor, operating system. Read, never changed.

#[cfg(windows)]
mod windows;

#[cfg(unix)]
use std::fs;
#[cfg(unix)]
use std::path::{Path, PathBuf};

use crate::locales::Text;
use crate::protocol::messages::MachineDetails;
use crate::protocol::secret::hex;

/// Why the machine cannot be named.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub enum MachineError {
    /// No network adapter with an address was found.
    NoAdapter,
}

impl MachineError {
    /// What happened and why.
    pub fn text(&self) -> Text {
        match self {
            Self::NoAdapter => Text::new("error-no-adapter"),
        }
    }
}

/// Reads the details of this machine. The same machine gives the same answer on every run: no name is resolved over
/// the network, and of several adapters the same one is chosen, a physical one where there is one.
pub fn details() -> MachineDetails {
    let adapter = adapter();
    MachineDetails {
        host_name: host_name(),
        mac_address: adapter.as_ref().map(|adapter| adapter.mac_address.clone()).unwrap_or_default(),
        nic_id: adapter.map(|adapter| adapter.id).unwrap_or_default(),
        processor_id: processor_id(),
        os_version: os_version(),
        os_type: os_type().to_owned(),
    }
}

/// The common name of this machine (see [`crate::protocol::subject::machine_name`]).
///
/// # Errors
/// A machine without a network adapter has no name of its own.
pub fn common_name(details: &MachineDetails) -> Result<String, MachineError> {
    if details.mac_address.is_empty() {
        return Err(MachineError::NoAdapter);
    }
    Ok(crate::protocol::subject::machine_name(&details.mac_address, &details.processor_id, &details.nic_id))
}

struct Adapter {
    mac_address: String,
    id: String,
}

/// Sysfs knows which adapters are hardware; the first of those counts, built-in before USB, wired before wireless.
#[cfg(target_os = "linux")]
fn adapter() -> Option<Adapter> {
    let mut candidates: Vec<_> = fs::read_dir("/sys/class/net")
        .ok()?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let address = mac_address::mac_address_by_name(&name).ok()??;
            if address.bytes() == [0; 6] {
                return None;
            }
            let device: Option<PathBuf> = fs::canonicalize(entry.path().join("device")).ok();
            let removable = device.as_deref().is_some_and(|device| device.to_string_lossy().contains("/usb"));
            let wireless = entry.path().join("wireless").exists();
            // The place in the machine stays when interfaces are renamed; a virtual one has only its name.
            let place = device.as_deref().map_or_else(|| name.clone(), |path| path.to_string_lossy().into_owned());
            Some(((device.is_none(), removable, wireless, place), address))
        })
        .collect();
    candidates.sort();
    let ((.., place), address) = candidates.into_iter().next()?;
    Some(Adapter { mac_address: hex(&address.bytes()).to_uppercase(), id: short_digest(&place, 16) })
}

/// Elsewhere the crate's choice counts: the first adapter that is up and has an address of its own.
#[cfg(not(any(target_os = "linux", windows)))]
fn adapter() -> Option<Adapter> {
    let address = mac_address::get_mac_address().ok()??;
    let name = mac_address::name_by_mac_address(&address).ok().flatten().unwrap_or_default();
    Some(Adapter { mac_address: hex(&address.bytes()).to_uppercase(), id: short_digest(&name, 16) })
}

/// As Windows' `Win32_Processor.ProcessorId` has it: EDX and EAX of CPUID leaf 1.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
fn processor_id() -> String {
    let leaf = raw_cpuid::native_cpuid::cpuid_count(1, 0);
    format!("{:08X}{:08X}", leaf.edx, leaf.eax)
}

/// Other processors have no CPUID: the digest of what the system says of its first one takes its place.
#[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
fn processor_id() -> String {
    let midr = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1");
    // Windows has the same in its environment.
    let description = midr.or_else(|_| std::env::var("PROCESSOR_IDENTIFIER"));
    let description = description.unwrap_or_else(|_| std::env::consts::ARCH.to_owned());
    short_digest(description.trim(), 8)
}

/// The first bytes of a SHA-256, in capital hexadecimal digits.
fn short_digest(text: &str, bytes: usize) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    hex(&digest.as_ref()[..bytes]).to_uppercase()
}

/// The fully qualified name as far as it is known without asking the network: the host name itself where it has a
/// domain, else the name that `/etc/hosts` gives it.
#[cfg(unix)]
fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.contains('.') {
        return name;
    }
    qualified(&name, Path::new("/etc/hosts")).unwrap_or(name)
}

#[cfg(unix)]
fn qualified(name: &str, hosts: &Path) -> Option<String> {
    let content = fs::read_to_string(hosts).ok()?;
    content.lines().map(|line| line.split('#').next().unwrap_or_default()).find_map(|line| {
        let names: Vec<&str> = line.split_whitespace().skip(1).collect();
        let qualified = names.iter().find(|other| other.starts_with(name) && other[name.len()..].starts_with('.'))?;
        names.contains(&name).then(|| (*qualified).to_owned())
    })
}

#[cfg(windows)]
use windows::{adapter, host_name, os_version};

#[cfg(target_os = "linux")]
fn os_version() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("Linux").trim_matches('"');
    format!("{name}, Linux {}", rustix::system::uname().release().to_string_lossy())
}

#[cfg(not(any(target_os = "linux", windows)))]
fn os_version() -> String {
    std::env::consts::OS.to_owned()
}

#[cfg(unix)]
fn os_type() -> &'static str {
    if rustix::system::uname().machine().to_string_lossy().contains("64") { "64-bit" } else { "32-bit" }
}

#[cfg(not(unix))]
fn os_type() -> &'static str {
    if cfg!(target_pointer_width = "64") || std::env::var_os("PROCESSOR_ARCHITEW6432").is_some() {
        "64-bit"
    } else {
        "32-bit"
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_file_qualifies_the_name() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = folder.path().join("hosts");
        fs::write(
            &hosts,
            "127.0.0.1 localhost\n127.0.1.1 pc7.poste.example pc7 # me\n192.0.2.1 pc77.other.example pc77\n",
        )
        .unwrap();
        assert_eq!(qualified("pc7", &hosts).as_deref(), Some("pc7.poste.example"));
        assert_eq!(qualified("pc8", &hosts), None);
    }

    #[test]
    fn two_looks_give_one_name() {
        let first = details();
        assert_eq!(first, details());
        if let Ok(name) = common_name(&first) {
            assert!(crate::protocol::subject::check_machine_name(&name).is_ok(), "{name}");
        }
        assert!(!first.host_name.is_empty() && !first.processor_id.is_empty() && !first.os_version.is_empty());
    }
}
