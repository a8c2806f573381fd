//! The service's parts, each from outside.

mod audit;
mod ca;
mod commands;
mod decisions;
mod demo;
mod http;
mod issuing;
mod lifecycle;
mod listener;
mod managers;
mod notices;
mod ocsp;
mod package;
mod packages;
mod pages;
mod revocation_list;
mod rights;
mod submission;
