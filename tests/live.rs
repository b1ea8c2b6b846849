//! `train --live`: what the page of a training gets while it trains, and what nobody gets. tests/clients/live.py opens it in a
//! browser.

#[path = "common/cli.rs"]
mod cli;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use cli::{Shell, TINY};
use serde_json::Value;

/// A training that is watched.
struct Watched {
    child: Child,
    port: u16,
}

impl Watched {
    fn start(shell: &Shell, line: &str) -> Self {
        let mut child = shell.command(line).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let port = lines.find_map(|line| line.strip_prefix("watch it at http://127.0.0.1:")?.strip_suffix('/')?.parse().ok());
        // What else it says has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, port: port.expect("the training says where to look") }
    }

    /// The head of an answer, and its body.
    fn send(&self, request: &str) -> (String, String) {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        (head.to_owned(), body.to_owned())
    }

    fn get(&self, path: &str) -> (String, String) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", self.port))
    }

    /// Asks how far the training is, until that is as wanted.
    fn wait(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let now: Value = serde_json::from_str(&self.get("/progress.json").1).unwrap();
            if wanted(&now) {
                return now;
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{now}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn interrupt(&self) {
        assert!(std::process::Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_page_follows_a_training_to_its_end() {
    let shell = Shell::new();
    shell.picture("photo.png", 40, 32);
    let train = format!("train photo.png {} --out run", TINY.replace("--steps 20", "--minutes 1"));
    let mut watched = Watched::start(&shell, &format!("{train} --live=0"));
    let (head, page) = watched.get("/");
    assert!(head.starts_with("HTTP/1.1 200 OK") && page.contains("<script src=\"live.js\">"), "{head}");
    assert!(head.contains("Content-Security-Policy: default-src 'none'; script-src 'self'"), "{head}");
    assert!(watched.get("/live.js").1.contains("progress.json"));
    // The first report comes with the first validation or state, while it trains.
    let first = watched.wait(|now| now["report"] != "" && now["step"].as_u64() > Some(0));
    assert!(watched.get("/report.html").1.ends_with("</html>\n"));
    assert!(watched.get("/config.toml").1.contains("noise = \"gaussian:25\""));
    let later = watched.wait(|now| now["report"] != first["report"]);
    assert!(later["step"].as_u64() > first["step"].as_u64() && later["ended"] == false, "{later}");
    for line in watched.get("/metrics.jsonl").1.lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
    watched.interrupt();
    // It waits for a browser that looks on to get the last report.
    let last = watched.wait(|now| now["ended"] == true);
    assert!(watched.get("/report.html").1.contains("<svg"));
    let start = Instant::now();
    watched.get(&format!("/progress.json?shown={}", last["report"].as_str().unwrap()));
    assert_eq!(watched.child.wait().unwrap().code(), Some(130));
    assert!(start.elapsed() < Duration::from_secs(2), "it waits though the browser has all");
}

#[test]
fn nothing_but_the_page_of_the_run_is_given_away() {
    let shell = Shell::new();
    shell.picture("photo.png", 40, 32);
    let train = format!("train photo.png {}", TINY.replace("--steps 20", "--minutes 1"));
    let watched = Watched::start(&shell, &format!("{train} --out run --live=0"));
    let port = watched.port;
    // A browser that has nothing to say does not keep others waiting.
    let _silent = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    watched.wait(|now| now["report"] != "");
    for path in [
        "/state.safetensors",
        "/best.safetensors",
        "/../photo.png",
        "/%2e%2e/photo.png",
        "//etc/passwd",
        "/.lock",
        "report.html",
        "/samples/",
    ] {
        let (head, body) = watched.get(path);
        assert!(head.starts_with("HTTP/1.1 404 ") && body.len() < 40, "{path}: {head}");
    }
    let host = format!("Host: localhost:{port}\r\n");
    for (request, status) in [
        (format!("GET / HTTP/1.1\r\n{host}\r\n"), "200"),
        (format!("POST / HTTP/1.1\r\n{host}Content-Length: 2\r\n\r\n{{}}"), "405"),
        (format!("DELETE /report.html HTTP/1.1\r\n{host}\r\n"), "405"),
        // A name that somebody else gave this address.
        (format!("GET /report.html HTTP/1.1\r\nHost: example.org:{port}\r\n\r\n"), "403"),
        ("GET /report.html HTTP/1.0\r\n\r\n".into(), "403"),
        (format!("GET /\r\n{host}\r\n"), "400"),
        ("\r\n\r\n".into(), "400"),
        (format!("GET / SPDY/3\r\n{host}\r\n"), "400"),
    ] {
        let (head, _) = watched.send(&request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {head}");
    }
    // A port that is named is that one or none; one that is not named is another one where it is taken.
    shell.run(&format!("{train} --out other --quiet --live={port}")).is_misused(&[&format!("--live {port}"), "in use"]);
    assert!(!shell.path("other").exists());
    shell.run(&format!("{train} --out other --quiet --live=http")).is_misused(&["--live"]);
    let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 7878));
    assert_ne!(Watched::start(&shell, &format!("{train} --out other --live")).port, 7878);
}
