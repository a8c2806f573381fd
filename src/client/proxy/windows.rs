//! What Windows knows of the way out: this account's settings, a script or automatic detection included, else those of
//! `netsh winhttp`, which also count for services.

use std::ptr;

use windows_sys::Win32::Foundation::GlobalFree;
use windows_sys::Win32::Networking::WinHttp::{
    WINHTTP_ACCESS_TYPE_NAMED_PROXY, WINHTTP_ACCESS_TYPE_NO_PROXY, WINHTTP_AUTO_DETECT_TYPE_DHCP,
    WINHTTP_AUTO_DETECT_TYPE_DNS_A, WINHTTP_AUTOPROXY_AUTO_DETECT, WINHTTP_AUTOPROXY_CONFIG_URL,
    WINHTTP_AUTOPROXY_OPTIONS, WINHTTP_CURRENT_USER_IE_PROXY_CONFIG, WINHTTP_PROXY_INFO, WinHttpCloseHandle,
    WinHttpGetDefaultProxyConfiguration, WinHttpGetIEProxyConfigForCurrentUser, WinHttpGetProxyForUrl, WinHttpOpen,
};

use super::Setting;
use crate::client::windows::{narrow, wide};

/// The setting for a URL, in the order in which Windows' own programs look: detection, script, named server, `netsh`.
pub(super) fn setting(url: &str) -> Option<Setting> {
    let mut account = WINHTTP_CURRENT_USER_IE_PROXY_CONFIG::default();
    // SAFETY: fills the structure, whose strings are then ours.
    let known = unsafe { WinHttpGetIEProxyConfigForCurrentUser(&mut account) } != 0;
    let script = take(account.lpszAutoConfigUrl);
    let named = Setting { servers: take(account.lpszProxy), bypass: take(account.lpszProxyBypass) };
    if known && (account.fAutoDetect != 0 || !script.is_empty()) {
        match automatic(url, account.fAutoDetect != 0, &script) {
            Some(found) if found.servers.is_empty() => return None,
            Some(found) => return Some(found),
            None => {}
        }
    }
    if known && !named.servers.is_empty() {
        return Some(named);
    }
    let mut machine = WINHTTP_PROXY_INFO::default();
    // SAFETY: fills the structure, whose strings are then ours.
    let known = unsafe { WinHttpGetDefaultProxyConfiguration(&mut machine) } != 0;
    let found = Setting { servers: take(machine.lpszProxy), bypass: take(machine.lpszProxyBypass) };
    (known && machine.dwAccessType == WINHTTP_ACCESS_TYPE_NAMED_PROXY).then_some(found)
}

/// Asks the script, or looks for one in the network. Nothing where there is none; no servers where the way is direct.
fn automatic(url: &str, detect: bool, script: &str) -> Option<Setting> {
    let (url, script) = (wide(url), wide(script));
    let has_script = script.len() > 1;
    let flags = [(detect, WINHTTP_AUTOPROXY_AUTO_DETECT), (has_script, WINHTTP_AUTOPROXY_CONFIG_URL)];
    let mut options = WINHTTP_AUTOPROXY_OPTIONS {
        dwFlags: flags.iter().filter(|(set, _)| *set).fold(0, |flags, (_, flag)| flags | flag),
        dwAutoDetectFlags: if detect { WINHTTP_AUTO_DETECT_TYPE_DHCP | WINHTTP_AUTO_DETECT_TYPE_DNS_A } else { 0 },
        lpszAutoConfigUrl: if has_script { script.as_ptr() } else { ptr::null() },
        ..Default::default()
    };
    let mut found = WINHTTP_PROXY_INFO::default();
    // SAFETY: all strings end with a zero and outlive the calls; the session is closed once.
    let answered = unsafe {
        let session = WinHttpOpen(ptr::null(), WINHTTP_ACCESS_TYPE_NO_PROXY, ptr::null(), ptr::null(), 0);
        if session.is_null() {
            return None;
        }
        let mut answered = WinHttpGetProxyForUrl(session, url.as_ptr(), &mut options, &mut found) != 0;
        if !answered {
            // A script may lie where only the account that is signed in may read.
            options.fAutoLogonIfChallenged = 1;
            answered = has_script && WinHttpGetProxyForUrl(session, url.as_ptr(), &mut options, &mut found) != 0;
        }
        WinHttpCloseHandle(session);
        answered
    };
    let setting = Setting { servers: take(found.lpszProxy), bypass: take(found.lpszProxyBypass) };
    answered.then_some(setting)
}

/// A string that a call allocated for us, freed; empty where there is none.
fn take(text: *mut u16) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: ends with a zero, and was allocated with GlobalAlloc by the call that gave it to us.
    unsafe {
        let taken = narrow(text);
        GlobalFree(text.cast());
        taken
    }
}
