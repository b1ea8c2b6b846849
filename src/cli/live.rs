//! `train --live`: the report of a run in a browser while it trains. A server for this machine alone, which has six answers and
//! reads no path that it is asked for. (There is no crate for it: `tiny_http` has stood still since 2022, and the others bring a
//! runtime along.)

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use n2n_gpu::train::Progress;
use serde_json::json;

use super::output::{time_left, waiting};
use super::{Common, Usage};

/// The port where none is named; if it is taken, any that is free.
const PORT: u16 = 7878;
/// Most bytes of a request.
const LONGEST: u64 = 16 << 10;
/// How long a browser may take to ask, and to take an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most browsers at a time.
const MOST: usize = 32;
/// How long a training that has ended waits for a browser that looks on, so that it gets the last report.
const LINGER: Duration = Duration::from_secs(3);
/// Nothing from elsewhere, and no script but ours.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'";

/// A server that listens.
pub(super) struct Live {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    port: u16,
    out: PathBuf,
    connections: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    progress: Option<Progress>,
    ended: bool,
    /// When a browser asked last.
    asked: Option<Instant>,
    /// Whether one has shown the last report.
    parted: bool,
}

impl Live {
    /// Listens at a port of 127.0.0.1; at one that was not asked for, if it is taken and none was.
    pub(super) fn bind(port: Option<u16>, out: &Path) -> anyhow::Result<Self> {
        let at = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listener = match port {
            Some(port) => at(port).map_err(|e| match e.kind() {
                io::ErrorKind::AddrInUse => Usage::new(format!(
                    "--live {port}: the port is in use, perhaps by another training: name another one, or none"
                )),
                _ => Usage::new(format!("--live {port}: the port cannot be had: {e}: name another one, or none")),
            })?,
            None => at(PORT).or_else(|_| at(0)).map_err(|e| Usage::new(format!("--live: no port can be had: {e}")))?,
        };
        let port = listener.local_addr()?.port();
        let (out, connections, state) = (out.to_owned(), AtomicUsize::new(0), Mutex::default());
        Ok(Self { listener, shared: Arc::new(Shared { port, out, connections, state }) })
    }

    /// Answers from now on.
    pub(super) fn serve(self, common: &Common) -> Watched {
        let shared = Arc::clone(&self.shared);
        common.remark(&format!("watch it at http://127.0.0.1:{}/", shared.port));
        std::thread::spawn(move || {
            for stream in self.listener.incoming().flatten() {
                let shared = Arc::clone(&self.shared);
                if shared.connections.fetch_add(1, Ordering::Relaxed) < MOST {
                    std::thread::spawn(move || {
                        // A browser that has gone is none of ours.
                        let _ = shared.answer(&stream);
                        shared.connections.fetch_sub(1, Ordering::Relaxed);
                    });
                } else {
                    shared.connections.fetch_sub(1, Ordering::Relaxed);
                }
            }
        });
        Watched(shared)
    }
}

/// A training that browsers look at. When it ends, they get the last report.
pub(super) struct Watched(Arc<Shared>);

impl Watched {
    /// Tells how far the training is.
    pub(super) fn show(&self, progress: &Progress) {
        self.0.state().progress = Some(*progress);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let start = Instant::now();
        self.0.state().ended = true;
        let waits = |state: &State| !state.parted && state.asked.is_some_and(|asked| asked.elapsed() < LINGER);
        while start.elapsed() < LINGER && waits(&self.0.state()) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What a browser gets.
struct Answer {
    status: &'static str,
    kind: &'static str,
    body: Vec<u8>,
}

impl Answer {
    fn new(kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: "200 OK", kind, body: body.into() }
    }

    fn refusal(status: &'static str) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: format!("{status}\n").into_bytes() }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a request and answers it.
    fn answer(&self, mut stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut lines = BufReader::new(stream.take(LONGEST)).lines();
        let request = lines.next().transpose()?.unwrap_or_default();
        let mut host = None;
        for line in lines {
            let line = line?;
            if line.is_empty() {
                break;
            }
            host = line
                .split_once(':')
                .filter(|(name, _)| name.eq_ignore_ascii_case("host"))
                .map(|(_, v)| v.trim().to_owned())
                .or(host);
        }
        let Answer { status, kind, body } = self.find(&request, host.as_deref());
        let allow = if status.starts_with("405") { "Allow: GET\r\n" } else { "" };
        write!(
            stream,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{allow}Cache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nContent-Security-Policy: {POLICY}\r\nConnection: close\r\n\r\n",
            body.len()
        )?;
        stream.write_all(&body)?;
        stream.shutdown(Shutdown::Write)
    }

    /// The answer to the first line of a request to a host.
    fn find(&self, request: &str, host: Option<&str>) -> Answer {
        let mut words = request.split(' ');
        let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
            return Answer::refusal("400 Bad Request");
        };
        if !version.starts_with("HTTP/1.") {
            return Answer::refusal("400 Bad Request");
        }
        // A page from elsewhere may give its own name this address, and would read what is here.
        let ours = ["127.0.0.1", "localhost"].map(|name| format!("{name}:{}", self.port));
        if !host.is_some_and(|host| ours.iter().any(|own| own == host)) {
            return Answer::refusal("403 Forbidden");
        }
        if method != "GET" {
            return Answer::refusal("405 Method Not Allowed");
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match path {
            "/" => Answer::new("text/html; charset=utf-8", include_str!("live.html")),
            "/live.js" => Answer::new("text/javascript; charset=utf-8", include_str!("live.js")),
            "/progress.json" => Answer::new("application/json", self.progress(query)),
            "/report.html" => self.file("report.html", "text/html; charset=utf-8"),
            "/metrics.jsonl" => self.file("metrics.jsonl", "application/x-ndjson"),
            "/config.toml" => self.file("config.toml", "text/plain; charset=utf-8"),
            _ => Answer::refusal("404 Not Found"),
        }
    }

    /// A file of the run: written whole or not at all, so that it can be read at any time.
    fn file(&self, name: &str, kind: &'static str) -> Answer {
        fs::read(self.out.join(name)).map_or_else(|_| Answer::refusal("404 Not Found"), |body| Answer::new(kind, body))
    }

    /// Another text for every report that is written; an empty one while there is none.
    fn report(&self) -> String {
        let Ok(metadata) = fs::metadata(self.out.join("report.html")) else { return String::new() };
        let written = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        format!("{}-{}", written.as_nanos(), metadata.len())
    }

    /// How far the training is, for a browser that has shown a report.
    fn progress(&self, query: &str) -> String {
        // In this order: what was written before the end is seen after it.
        let mut state = self.state();
        let report = self.report();
        state.asked = Some(Instant::now());
        state.parted |= state.ended && query.strip_prefix("shown=") == Some(&report);
        let p = state.progress;
        json!({
            "report": report, "ended": state.ended, "step": p.map(|p| p.step), "share": p.map_or(0.0, |p| p.share),
            "seconds": p.map(|p| p.seconds), "pictures_per_second": p.map(|p| p.pictures_per_second),
            "left": p.map(|p| time_left(p.seconds, p.share)), "psnr": p.and_then(|p| p.psnr), "estimated": p.is_some_and(|p| p.estimated),
            "waiting": p.and_then(|p| waiting(p.waiting)),
        })
        .to_string()
    }
}
