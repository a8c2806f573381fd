//! The service's parts, each from outside.

mod audit;
mod batch;
mod ca;
mod cluster;
mod commands;
mod decisions;
mod demo;
mod http;
mod issuing;
mod lifecycle;
mod limits;
mod listener;
mod managers;
mod model;
mod notices;
mod observability;
mod ocsp;
mod package;
mod packages;
mod pages;
mod postgres;
mod revocation_list;
mod rights;
mod rights_table;
mod submission;
