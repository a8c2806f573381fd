//! The machine as Windows describes it, and homes of every name.

use crate::support::site::Site;
use crate::wine::{FIELDS, Windows};

#[test]
fn the_machine_is_described_as_windows_knows_it() {
    const TCPIP: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters";
    const VERSION: &str = r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion";
    let site = Site::start();
    let windows = Windows::workstation(&site, "machine");
    windows.set(TCPIP, "NV Hostname", "REG_SZ", "pc7");
    windows.set(TCPIP, "NV Domain", "REG_SZ", "poste.example");
    windows.set(VERSION, "ProductName", "REG_SZ", "Windows 10 Pro");
    windows.set(VERSION, "DisplayVersion", "REG_SZ", "24H2");
    windows.set(VERSION, "CurrentBuildNumber", "REG_SZ", "26100");
    windows.set(VERSION, "CurrentMajorVersionNumber", "REG_DWORD", "10");
    windows.set(VERSION, "CurrentMinorVersionNumber", "REG_DWORD", "0");
    windows.set(VERSION, "UBR", "REG_DWORD", "2314");
    let dry = ["--output=json", "submit", "--dry-run", FIELDS[0], FIELDS[1]];
    let run = windows.run(dry).exits(0).json();
    let machine = &run["result"]["machine"];
    assert_eq!(machine["host_name"], "pc7.poste.example", "{machine}");
    assert_eq!(machine["os_version"], "Windows 11 Pro 24H2, 10.0.26100.2314");
    assert_eq!(machine["os_type"], "64-bit");
    let digits = |field: &str, count: usize| {
        let value = machine[field].as_str().unwrap();
        assert_eq!(value.len(), count, "{field}: {value}");
        assert!(value.chars().all(|digit| digit.is_ascii_hexdigit() && !digit.is_ascii_lowercase()), "{value}");
        value.to_owned()
    };
    let name = [digits("mac_address", 12), digits("processor_id", 16), digits("nic_id", 32)].join("-");
    assert_eq!(run["result"]["subject"]["common_name"], name);
    // The GUID of an adapter, which Wine makes of these letters, and not a digest of its name.
    assert!(machine["nic_id"].as_str().unwrap().ends_with("4E6574446576"), "{machine}");
    // The same on every run.
    assert_eq!(windows.run(dry).exits(0).json()["result"]["machine"], *machine);
}

#[test]
fn a_home_may_have_any_name_and_length() {
    let site = Site::builder().serve(&["--auto-approve"]).start();
    let deep = "a-folder-with-a-rather-long-name-of-fifty-characters".to_owned() + "/";
    for home in [site.folder().join("Sièges régionaux (Île)"), site.folder().join(deep.repeat(5)).join("home")] {
        let windows = Windows::with_home(&site, "user", home);
        windows.submit();
        windows.run(["fetch"]).exits(0);
        windows.run(["test"]).exits(0);
        assert!(windows.home.join("enroll.log").exists());
    }
}

#[test]
fn the_name_is_put_on_the_clipboard() {
    let site = Site::builder().serve(&["--auto-approve"]).start();
    let windows = Windows::workstation(&site, "user");
    windows.submit();
    windows.run(["fetch"]).exits(0);
    let run = windows.run(["subject", "--copy"]).exits(0);
    assert!(run.stdout.contains("The name is on the clipboard."), "{}", run.stdout);
}
