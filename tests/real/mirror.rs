//! A web server for a directory of packages, which counts how often packages are fetched from it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A server on the loopback device, until the test ends.
#[derive(Debug)]
pub(crate) struct Mirror {
    port: u16,
    packages: Arc<Mutex<Vec<String>>>,
}

impl Mirror {
    /// Serves a directory.
    pub(crate) fn of(root: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a loopback device");
        let port = listener.local_addr().expect("it is bound").port();
        let packages = Arc::new(Mutex::new(Vec::new()));
        let fetched = Arc::clone(&packages);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // One that hangs up early is no failure of the server's.
                let _ = answer(client, &root, &fetched);
            }
        });
        Self { port, packages }
    }

    /// Returns its address, without a path.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Lets the sandboxes of a pool reach it.
    pub(crate) fn admit(&self, netbe: &super::support::Netbe) {
        netbe.ok(&format!(
            "set upgrade.network=private,127.0.0.1:{}",
            self.port
        ));
    }

    /// Returns the packages that were fetched since this was last asked.
    pub(crate) fn fetched(&self) -> Vec<String> {
        std::mem::take(&mut self.packages.lock().expect("nobody panics with it"))
    }
}

fn answer(mut client: TcpStream, root: &Path, fetched: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|l| !l.is_empty()) {}
    let mut words = first.split(' ');
    let (method, path) = (words.next(), words.next().unwrap_or_default());
    let path = Path::new(path.trim_start_matches('/'));
    let inside = path.components().all(|c| matches!(c, Component::Normal(_)));
    let content = match inside {
        true => fs::read(root.join(path)).ok(),
        false => None,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_package = name.ends_with(".rpm") || name.ends_with(".apk") || name.contains(".pkg.tar.");
    if content.is_some() && is_package && method == Some("GET") {
        fetched
            .lock()
            .expect("nobody panics with it")
            .push(name.into_owned());
    }
    let status = match content {
        Some(_) => "200 OK",
        None => "404 Not Found",
    };
    let content = content.unwrap_or_default();
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        content.len()
    )?;
    match method {
        Some("HEAD") => Ok(()),
        _ => client.write_all(&content),
    }
}
