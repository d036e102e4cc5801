//! Stands in for TLS where the feature `tls` is off: nothing of this can exist, so no connection
//! has it.

#![allow(dead_code, reason = "all of it")]

use crate::session::Output;
use clws_proto::copy::MidPage;
use std::io::{self, IoSlice};

#[derive(Debug)]
pub(crate) enum Keeper {}

impl Keeper {
    pub(crate) fn reload_if_changed(&self) {
        match *self {}
    }
}

#[derive(Debug)]
pub(crate) enum TlsStage {}

#[derive(Debug)]
pub(crate) enum Opened {
    More,
    All,
    End,
    Broken(String),
}

#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pub(crate) plain: MidPage,
}

#[derive(Debug)]
pub(crate) enum TlsInfo {}

impl TlsStage {
    pub(crate) fn new(keeper: &Keeper) -> Option<Box<Self>> {
        match *keeper {}
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match *self {}
    }

    pub(crate) fn complete(&mut self, _: &[u8]) -> Option<(Vec<u8>, usize)> {
        match *self {}
    }

    pub(crate) fn open(&mut self, _: &mut [u8], _: &mut MidPage) -> (usize, Opened) {
        match *self {}
    }

    pub(crate) fn info(&self) -> TlsInfo {
        match *self {}
    }

    pub(crate) fn held(&self) -> usize {
        match *self {}
    }

    pub(crate) fn unsent(&self) -> usize {
        match *self {}
    }

    pub(crate) fn has_unsent(&self) -> bool {
        match *self {}
    }

    pub(crate) fn put_back(&mut self, _: &[u8]) {
        match *self {}
    }

    pub(crate) fn flush(&mut self, _: &mut dyn Output) -> io::Result<usize> {
        match *self {}
    }

    pub(crate) fn close(&mut self) {
        match *self {}
    }

    pub(crate) fn is_closed(&self) -> bool {
        match *self {}
    }

    pub(crate) fn sealing<'a>(&'a mut self, _: &'a mut Buffers, _: &'a mut dyn Output) -> Sealing {
        match *self {}
    }
}

pub(crate) struct Sealing;

impl Output for Sealing {
    fn write(&mut self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
