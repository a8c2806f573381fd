//! The way out: the proxy of the environment's variables, else the one that Windows has set.

#[cfg(windows)]
mod windows;

use ureq::Proxy;

/// The proxy on the way to a URL; none where it is reached directly.
///
/// `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` come first, as for other programs of the command line.
pub fn for_url(url: &str) -> Option<Proxy> {
    Proxy::try_from_env().or_else(|| of_system(url))
}

#[cfg(not(windows))]
fn of_system(_url: &str) -> Option<Proxy> {
    None
}

/// What the system names, as ureq takes it.
#[cfg(windows)]
fn of_system(url: &str) -> Option<Proxy> {
    let uri: ureq::http::Uri = url.parse().ok()?;
    let host = uri.host()?.trim_matches(['[', ']']);
    let loopback = host.parse::<std::net::IpAddr>().map_or(host == "localhost", |address| address.is_loopback());
    if loopback {
        return None;
    }
    let setting = windows::setting(url)?;
    if bypassed(host, &setting.bypass) {
        return None;
    }
    let proxy = server_for_https(&setting.servers)?;
    log::info!("proxy of the system: {proxy}");
    Proxy::new(&proxy)
        .map_err(|error| log::warn!("the system's proxy cannot be used: proxy={proxy} error={error}"))
        .ok()
}

/// What Windows has set: servers and exceptions, each a list as its settings dialog writes it.
#[cfg(any(windows, test))]
#[derive(Debug, Default)]
struct Setting {
    /// `proxy:8080`, or by scheme: `http=a:80;https=b:8080`.
    servers: String,
    /// `*.operator.example;10.*;<local>`
    bypass: String,
}

/// The server for HTTPS out of a list: the one of that scheme, else the one for all.
#[cfg(any(windows, test))]
fn server_for_https(servers: &str) -> Option<String> {
    let entries = || servers.split([';', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
    let own = entries().find_map(|entry| entry.strip_prefix("https="));
    let server = own.or_else(|| entries().find(|entry| !entry.contains('=')))?;
    Some(if server.contains("://") { server.to_owned() } else { format!("http://{server}") })
}

/// Whether a host is among the exceptions: `*` stands for anything, `<local>` for names without a dot.
#[cfg(any(windows, test))]
fn bypassed(host: &str, bypass: &str) -> bool {
    fn matches(pattern: &str, text: &str) -> bool {
        match pattern.split_once('*') {
            None => pattern == text,
            Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| {
                (0..=rest.len()).any(|start| rest.is_char_boundary(start) && matches(after, &rest[start..]))
            }),
        }
    }
    let host = host.to_ascii_lowercase();
    bypass.split([';', ' ']).map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| match entry.as_str() {
        "" => false,
        "<local>" => !host.contains(['.', ':']),
        pattern => matches(pattern.split_once("://").map_or(pattern, |(_, host)| host), &host),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_for_https_is_found() {
        for (servers, expected) in [
            ("proxy:8080", Some("http://proxy:8080")),
            ("http=a:80;https=b:8080", Some("http://b:8080")),
            ("http=a:80 https=b:8080", Some("http://b:8080")),
            ("ftp=a:21;proxy:3128", Some("http://proxy:3128")),
            ("http=a:80", None),
            ("http://proxy:8080", Some("http://proxy:8080")),
            ("", None),
        ] {
            assert_eq!(server_for_https(servers).as_deref(), expected, "{servers}");
        }
    }

    #[test]
    fn exceptions_are_kept() {
        let setting =
            Setting { servers: String::new(), bypass: "*.Poste.example;10.*;<local>; https://ptc.example".into() };
        for (host, expected) in [
            ("api.poste.example", true),
            ("API.POSTE.EXAMPLE", true),
            ("poste.example", false),
            ("10.1.2.3", true),
            ("110.1.2.3", false),
            ("intranet", true),
            ("ptc.example", true),
            ("enroll.ptc.example", false),
        ] {
            assert_eq!(bypassed(host, &setting.bypass), expected, "{host}");
        }
        assert!(!bypassed("api.poste.example", &setting.servers));
    }
}
