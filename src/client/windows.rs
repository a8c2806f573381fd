//! Values as the calls of Windows take and give them.

use std::io;

/// UTF-16 with a zero at its end.
pub fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// A text in UTF-16 that ends with a zero; what is no text is replaced by marks.
///
/// # Safety
/// The pointer leads to such a text.
pub unsafe fn narrow(text: *const u16) -> String {
    // SAFETY: every unit up to the zero may be read, as the caller promises.
    unsafe {
        let length = (0..).take_while(|&index| *text.add(index) != 0).count();
        String::from_utf16_lossy(std::slice::from_raw_parts(text, length))
    }
}

/// What a BOOL says of a call that sets the last error.
pub fn checked(done: i32) -> io::Result<()> {
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
