//! `ptc-enroll` as its user meets it: the real program, most of the time against the real service.

#[cfg(feature = "service")]
mod clipboard;
mod command_line;
#[cfg(feature = "service")]
mod crash;
#[cfg(feature = "service")]
mod enrollment;
#[cfg(feature = "service")]
mod external;
#[cfg(feature = "service")]
mod faults;
#[cfg(feature = "service")]
mod files;
#[cfg(feature = "service")]
mod full_disk;
#[cfg(feature = "service")]
mod installation;
#[cfg(feature = "service")]
mod mass;
#[cfg(feature = "service")]
mod packages;
#[cfg(feature = "service")]
mod power;
#[cfg(feature = "service")]
mod thousand;
