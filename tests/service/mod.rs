//! The service's parts, each from outside.

mod audit;
mod ca;
mod cluster;
mod commands;
mod decisions;
mod demo;
mod http;
mod issuing;
mod lifecycle;
mod listener;
mod managers;
mod notices;
mod package;
mod packages;
mod pages;
mod postgres;
mod rights;
mod submission;
