//! A certificate for the servers that chores start: made by `openssl`, trusted by their clients.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::process;

/// A certificate for this machine, which is its own authority.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) file: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// Makes a new one in `dir`.
    pub(crate) fn make(dir: &Path) -> Result<Self> {
        process::create_dir(dir)?;
        let made = Self { file: dir.join("certificate.pem"), key: dir.join("key.pem") };
        let mut openssl = Command::new("openssl");
        openssl
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "30", "-subj", "/CN=localhost"])
            .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
            .arg("-keyout")
            .arg(&made.key)
            .arg("-out")
            .arg(&made.file);
        process::run_logged(&mut openssl, &dir.join("openssl.log"))?;
        Ok(made)
    }

    /// The flags that make a server use it, on a free port.
    pub(crate) fn flags(&self) -> Vec<String> {
        let name = |path: &Path| path.display().to_string();
        let flags = ["--tls-listen", "127.0.0.1:0", "--tls-cert", &name(&self.file), "--tls-key"];
        flags.into_iter().map(str::to_owned).chain([name(&self.key)]).collect()
    }
}
