//! Who may do what: this process, and other accounts with a key.

use std::ffi::c_void;
use std::io;
use std::ptr;

use schannel::RawPointer;
use schannel::crypt_prov::CryptProv;
use windows_sys::Win32::Foundation::{CloseHandle, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, EXPLICIT_ACCESS_W, GRANT_ACCESS, NO_MULTIPLE_TRUSTEE, SetEntriesInAclW, TRUSTEE_IS_SID,
    TRUSTEE_IS_UNKNOWN, TRUSTEE_W,
};
use windows_sys::Win32::Security::Cryptography::{CryptGetProvParam, CryptSetProvParam, PP_KEYSET_SEC_DESCR};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACL, CheckTokenMembership, CreateWellKnownSid, DACL_SECURITY_INFORMATION, EqualSid, GetAce,
    GetSecurityDescriptorDacl, GetTokenInformation, InitializeSecurityDescriptor, LookupAccountNameW,
    SECURITY_DESCRIPTOR, SetSecurityDescriptorDacl, TOKEN_QUERY, TOKEN_USER, TokenUser, WinBuiltinAdministratorsSid,
};
use windows_sys::Win32::System::SystemServices::ACCESS_ALLOWED_ACE_TYPE;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::super::StoreError;
use crate::client::windows::{checked, narrow, wide};

/// Revision 1, the only one (winnt.h).
const SECURITY_DESCRIPTOR_REVISION: u32 = 1;
/// No identifier is longer, in bytes (winnt.h).
const SECURITY_MAX_SID_SIZE: u32 = 68;
/// Access right of winnt.h.
const GENERIC_READ: u32 = 0x8000_0000;

/// Whether the process acts with administrator rights, which an administrator's does only after UAC was asked.
pub(super) fn is_elevated() -> bool {
    let mut group = [0_u64; SECURITY_MAX_SID_SIZE as usize / size_of::<u64>() + 1];
    let group: *mut c_void = group.as_mut_ptr().cast();
    let mut length = SECURITY_MAX_SID_SIZE;
    let mut is_member = 0;
    // SAFETY: the buffer holds any identifier; without a token the call looks at the process.
    unsafe {
        CreateWellKnownSid(WinBuiltinAdministratorsSid, ptr::null_mut(), group, &mut length) != 0
            && CheckTokenMembership(ptr::null_mut(), group, &mut is_member) != 0
            && is_member != 0
    }
}

/// The identifier of the account that this process runs for, as text: `S-1-5-21-…`.
pub(super) fn own_account() -> Option<String> {
    let mut token = ptr::null_mut();
    let mut length = 0;
    // SAFETY: the handle of the own process is always valid, the one of its token is closed once; the buffer is as long
    // as the first call asked for, and aligned for the structure at its start; the text is freed after it was copied.
    unsafe {
        if OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &mut token) == 0 {
            return None;
        }
        GetTokenInformation(token, TokenUser, ptr::null_mut(), 0, &mut length);
        let mut buffer = vec![0_u64; (length as usize).div_ceil(size_of::<u64>()).max(1)];
        let known = GetTokenInformation(token, TokenUser, buffer.as_mut_ptr().cast(), length, &mut length) != 0;
        CloseHandle(token);
        let user: *const TOKEN_USER = buffer.as_ptr().cast();
        let mut text = ptr::null_mut();
        if !known || ConvertSidToStringSidW((*user).User.Sid, &mut text) == 0 {
            return None;
        }
        let account = narrow(text);
        LocalFree(text.cast());
        Some(account)
    }
}

/// The security identifier of an account, a group or a service.
pub(super) fn security_identifier(account: &str) -> Result<Vec<u64>, StoreError> {
    let unknown = || StoreError::UnknownAccount { account: account.to_owned() };
    let name = wide(account);
    let (mut length, mut domain_length, mut kind) = (0, 0, 0);
    // SAFETY: the first call only asks for lengths; the second one gets buffers of these lengths.
    unsafe {
        LookupAccountNameW(
            ptr::null(),
            name.as_ptr(),
            ptr::null_mut(),
            &mut length,
            ptr::null_mut(),
            &mut domain_length,
            &mut kind,
        );
        if length == 0 {
            return Err(unknown());
        }
        let mut identifier = vec![0_u64; (length as usize).div_ceil(size_of::<u64>())];
        let mut domain = vec![0_u16; domain_length as usize];
        let found = LookupAccountNameW(
            ptr::null(),
            name.as_ptr(),
            identifier.as_mut_ptr().cast(),
            &mut length,
            domain.as_mut_ptr(),
            &mut domain_length,
            &mut kind,
        );
        checked(found).map_err(|_| unknown())?;
        Ok(identifier)
    }
}

/// Adds accounts to those that may use the key of an open container.
pub(super) fn add_readers(provider: &CryptProv, identifiers: &[Vec<u64>]) -> io::Result<()> {
    // SAFETY: the provider is open during all calls; buffers are as long as announced; the new list is freed once.
    unsafe {
        let provider = provider.as_ptr() as usize;
        let mut length = 0;
        checked(CryptGetProvParam(
            provider,
            PP_KEYSET_SEC_DESCR,
            ptr::null_mut(),
            &mut length,
            DACL_SECURITY_INFORMATION,
        ))?;
        let mut present = vec![0_u64; (length as usize).div_ceil(size_of::<u64>())];
        checked(CryptGetProvParam(
            provider,
            PP_KEYSET_SEC_DESCR,
            present.as_mut_ptr().cast(),
            &mut length,
            DACL_SECURITY_INFORMATION,
        ))?;
        let (mut has_list, mut is_default, mut list) = (0, 0, ptr::null_mut::<ACL>());
        checked(GetSecurityDescriptorDacl(present.as_mut_ptr().cast(), &mut has_list, &mut list, &mut is_default))?;
        // Without a list nothing is forbidden.
        let closed = has_list != 0 && !list.is_null();
        let entries: Vec<EXPLICIT_ACCESS_W> = identifiers
            .iter()
            .filter(|identifier| closed && !is_listed(list, identifier))
            .map(|identifier| EXPLICIT_ACCESS_W {
                grfAccessPermissions: GENERIC_READ,
                grfAccessMode: GRANT_ACCESS,
                grfInheritance: 0,
                Trustee: TRUSTEE_W {
                    pMultipleTrustee: ptr::null_mut(),
                    MultipleTrusteeOperation: NO_MULTIPLE_TRUSTEE,
                    TrusteeForm: TRUSTEE_IS_SID,
                    TrusteeType: TRUSTEE_IS_UNKNOWN,
                    ptstrName: identifier.as_ptr().cast_mut().cast(),
                },
            })
            .collect();
        if entries.is_empty() {
            return Ok(());
        }
        let mut widened = ptr::null_mut();
        match SetEntriesInAclW(entries.len() as u32, entries.as_ptr(), list, &mut widened) {
            0 => {}
            code => return Err(io::Error::from_raw_os_error(code as i32)),
        }
        let mut descriptor: SECURITY_DESCRIPTOR = std::mem::zeroed();
        let target: *mut SECURITY_DESCRIPTOR = &mut descriptor;
        let set = checked(InitializeSecurityDescriptor(target.cast(), SECURITY_DESCRIPTOR_REVISION))
            .and_then(|()| checked(SetSecurityDescriptorDacl(target.cast(), 1, widened, 0)))
            .and_then(|()| {
                checked(CryptSetProvParam(provider, PP_KEYSET_SEC_DESCR, target.cast(), DACL_SECURITY_INFORMATION))
            });
        LocalFree(widened.cast());
        set
    }
}

/// Whether a list already lets an account read.
///
/// # Safety
/// The list is one, and the identifier too.
unsafe fn is_listed(list: *const ACL, identifier: &[u64]) -> bool {
    // SAFETY: the list has as many entries as it says; one of this type ends with an identifier.
    unsafe {
        (0..u32::from((*list).AceCount)).any(|index| {
            let mut entry = ptr::null_mut();
            if GetAce(list, index, &mut entry) == 0 {
                return false;
            }
            let entry: *mut ACCESS_ALLOWED_ACE = entry.cast();
            let allows = u32::from((*entry).Header.AceType) == ACCESS_ALLOWED_ACE_TYPE;
            let account = (&raw mut (*entry).SidStart).cast();
            allows && EqualSid(account, identifier.as_ptr().cast_mut().cast()) != 0
        })
    }
}
