//! What Windows says of the machine, mostly in the registry, which needs no rights and no network to read.

use std::ffi::CStr;

use windows_registry::{Key, LOCAL_MACHINE};
use windows_sys::Win32::Foundation::ERROR_BUFFER_OVERFLOW;
use windows_sys::Win32::NetworkManagement::IpHelper::{
    GAA_FLAG_SKIP_ANYCAST, GAA_FLAG_SKIP_DNS_SERVER, GAA_FLAG_SKIP_MULTICAST, GAA_FLAG_SKIP_UNICAST,
    GetAdaptersAddresses, IF_TYPE_IEEE80211, IP_ADAPTER_ADDRESSES_LH,
};
use windows_sys::Win32::Networking::WinSock::AF_UNSPEC;

use super::{Adapter, short_digest};
use crate::protocol::secret::hex;

/// The class of network adapters (devguid.h).
const ADAPTERS: &str = r"SYSTEM\CurrentControlSet\Control\Class\{4D36E972-E325-11CE-BFC1-08002BE10318}";
const NAMES: &str = r"SYSTEM\CurrentControlSet\Services\Tcpip\Parameters";
const SYSTEM: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
/// The adapter is hardware, not made by a program (NCF_PHYSICAL of netcfgx.h).
const PHYSICAL: u32 = 0x4;
/// From this build on it is Windows 11, whatever the product name says.
const FIRST_BUILD_OF_11: u32 = 22_000;

/// The first adapter that counts: hardware before virtual ones, built-in before USB, wired before wireless, then by GUID,
/// which stays when a connection gets another name.
pub(super) fn adapter() -> Option<Adapter> {
    let installed = installed_adapters();
    addresses()
        .into_iter()
        .map(|(guid, address, wireless)| {
            let kind = installed.iter().find(|(known, _)| known.eq_ignore_ascii_case(&guid)).map(|(_, kind)| *kind);
            ((kind.unwrap_or(Hardware::Unknown), wireless, guid), address)
        })
        .min()
        .map(|((.., guid), address)| {
            let digits: String = guid.chars().filter(char::is_ascii_hexdigit).collect();
            let id = if digits.len() == 32 { digits.to_uppercase() } else { short_digest(&guid, 16) };
            Adapter { mac_address: hex(&address).to_uppercase(), id }
        })
}

/// GUID, MAC address and whether it is wireless, of every adapter that has an address. The crate for MAC addresses gives
/// the name of the connection instead of the GUID, which people change.
fn addresses() -> Vec<(String, [u8; 6], bool)> {
    let skipped = GAA_FLAG_SKIP_UNICAST | GAA_FLAG_SKIP_ANYCAST | GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_DNS_SERVER;
    let mut length: u32 = 16 * 1024;
    let mut buffer: Vec<u64>;
    loop {
        buffer = vec![0; (length as usize).div_ceil(size_of::<u64>())];
        // SAFETY: the buffer is as long as announced, and aligned for the structures that come to stand in it.
        let code = unsafe {
            let list = buffer.as_mut_ptr().cast();
            GetAdaptersAddresses(AF_UNSPEC.into(), skipped, std::ptr::null(), list, &mut length)
        };
        match code {
            0 => break,
            ERROR_BUFFER_OVERFLOW => {}
            _ => return Vec::new(),
        }
    }
    let mut found = Vec::new();
    let mut next: *const IP_ADAPTER_ADDRESSES_LH = buffer.as_ptr().cast();
    // SAFETY: the call filled the buffer with a list that ends with null; its names end with a zero.
    while let Some(adapter) = unsafe { next.as_ref() } {
        let address: [u8; 6] = std::array::from_fn(|index| adapter.PhysicalAddress[index]);
        if adapter.PhysicalAddressLength == 6 && address != [0; 6] {
            // SAFETY: as above.
            let guid = unsafe { CStr::from_ptr(adapter.AdapterName.cast()) }.to_string_lossy().into_owned();
            found.push((guid, address, adapter.IfType == IF_TYPE_IEEE80211));
        }
        next = adapter.Next;
    }
    found
}

/// What an adapter is made of, the best to name a machine by first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Hardware {
    BuiltIn,
    Pluggable,
    Unknown,
    Virtual,
}

/// The adapters that are installed, by GUID.
fn installed_adapters() -> Vec<(String, Hardware)> {
    let Ok(class) = LOCAL_MACHINE.open(ADAPTERS) else { return Vec::new() };
    let Ok(names) = class.keys() else { return Vec::new() };
    names
        .filter_map(|name| {
            let adapter = class.open(&name).ok()?;
            let guid = adapter.get_string("NetCfgInstanceId").ok()?;
            let physical =
                adapter.get_u32("Characteristics").is_ok_and(|characteristics| characteristics & PHYSICAL != 0);
            let bus = adapter.get_string("MatchingDeviceId").unwrap_or_default().to_ascii_lowercase();
            let hardware = match bus.split('\\').next() {
                _ if !physical => Hardware::Virtual,
                Some("usb" | "bth") => Hardware::Pluggable,
                _ => Hardware::BuiltIn,
            };
            Some((guid, hardware))
        })
        .collect()
}

/// The fully qualified name as it is set, without asking the network.
pub(super) fn host_name() -> String {
    let Ok(names) = LOCAL_MACHINE.open(NAMES) else { return of_environment() };
    let host = first(&names, &["NV Hostname", "Hostname"]).unwrap_or_else(of_environment);
    match first(&names, &["NV Domain", "Domain", "DhcpDomain"]) {
        Some(domain) => format!("{host}.{domain}"),
        None => host,
    }
}

fn of_environment() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

/// The first of these values that is there and not empty.
fn first(key: &Key, values: &[&str]) -> Option<String> {
    values.iter().filter_map(|value| key.get_string(value).ok()).find(|text| !text.is_empty())
}

/// Product, version and build: `Windows Server 2016 Standard 1607, 10.0.14393.447`.
pub(super) fn os_version() -> String {
    let Ok(system) = LOCAL_MACHINE.open(SYSTEM) else { return "Windows".to_owned() };
    let build = first(&system, &["CurrentBuildNumber", "CurrentBuild"]).unwrap_or_default();
    let mut product = first(&system, &["ProductName"]).unwrap_or_else(|| "Windows".to_owned());
    if build.parse::<u32>().is_ok_and(|build| build >= FIRST_BUILD_OF_11) {
        product = product.replacen("Windows 10", "Windows 11", 1);
    }
    let release = first(&system, &["DisplayVersion", "ReleaseId"]).map(|release| format!(" {release}"));
    // Windows 10 and later tell their version in numbers; the text stands still at 6.3.
    let version = match (system.get_u32("CurrentMajorVersionNumber"), system.get_u32("CurrentMinorVersionNumber")) {
        (Ok(major), Ok(minor)) => format!("{major}.{minor}"),
        _ => first(&system, &["CurrentVersion"]).unwrap_or_default(),
    };
    let revision = system.get_u32("UBR").map(|revision| format!(".{revision}")).unwrap_or_default();
    format!("{product}{}, {version}.{build}{revision}", release.unwrap_or_default())
}
