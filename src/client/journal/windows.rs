//! Folders that are their owner's alone, from the moment they exist.

use std::io;
use std::os::windows::ffi::OsStrExt;
use std::path::{Path, absolute};
use std::ptr;

use windows_sys::Win32::Foundation::{ERROR_ALREADY_EXISTS, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1,
};
use windows_sys::Win32::Security::SECURITY_ATTRIBUTES;
use windows_sys::Win32::Storage::FileSystem::CreateDirectoryW;

use crate::client::windows::wide;

/// Nothing is inherited from above; the system, administrators and the owner have everything, also of what comes to lie
/// in the folder.
const OWNER_ONLY: &str = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)";

/// Makes one folder, whose parent exists; one that is there already stays as it is.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    // Of this form, a path may be longer than 260 characters.
    let verbatim: Vec<u16> =
        r"\\?\".encode_utf16().chain(absolute(folder)?.as_os_str().encode_wide()).chain([0]).collect();
    let plain: Vec<u16> = folder.as_os_str().encode_wide().chain([0]).collect();
    let network = folder.as_os_str().to_string_lossy().starts_with(r"\\");
    let path = if network { plain } else { verbatim };
    let words = wide(OWNER_ONLY);
    let mut descriptor = ptr::null_mut();
    // SAFETY: both texts end with a zero; the descriptor is freed once, after its last use.
    unsafe {
        let known = ConvertStringSecurityDescriptorToSecurityDescriptorW(
            words.as_ptr(),
            SDDL_REVISION_1,
            &mut descriptor,
            ptr::null_mut(),
        );
        if known == 0 {
            return Err(io::Error::last_os_error());
        }
        let attributes = SECURITY_ATTRIBUTES {
            nLength: size_of::<SECURITY_ATTRIBUTES>() as u32,
            lpSecurityDescriptor: descriptor,
            bInheritHandle: 0,
        };
        let made = CreateDirectoryW(path.as_ptr(), &attributes);
        let error = io::Error::last_os_error();
        LocalFree(descriptor);
        if made != 0 || error.raw_os_error() == Some(ERROR_ALREADY_EXISTS as i32) { Ok(()) } else { Err(error) }
    }
}
