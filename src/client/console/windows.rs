//! The code page of the console.

use std::ptr;

use windows_sys::Win32::Globalization::{CP_UTF8, WideCharToMultiByte};
use windows_sys::Win32::System::Console::GetConsoleOutputCP;

/// The text in the console's code page, what it lacks replaced by what looks alike. Nothing without a console, where
/// UTF-8 is what the reader expects.
pub(super) fn in_code_page(text: &str) -> Option<Vec<u8>> {
    // SAFETY: takes nothing and only answers.
    let code_page = unsafe { GetConsoleOutputCP() };
    if code_page == 0 || code_page == CP_UTF8 {
        return None;
    }
    let wide: Vec<u16> = text.encode_utf16().collect();
    let length = i32::try_from(wide.len()).ok()?;
    let convert = |buffer: *mut u8, size: i32| {
        // SAFETY: `wide` holds `length` units; the buffer is absent or `size` bytes long.
        unsafe { WideCharToMultiByte(code_page, 0, wide.as_ptr(), length, buffer, size, ptr::null(), ptr::null_mut()) }
    };
    let size = convert(ptr::null_mut(), 0);
    let mut bytes = vec![0; usize::try_from(size).ok().filter(|&size| size > 0)?];
    (convert(bytes.as_mut_ptr(), size) == size).then_some(bytes)
}
