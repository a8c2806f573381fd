//! What `ptc-enroll` does on an administrator's machine.
