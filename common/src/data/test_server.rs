//! A small HTTP server on this machine that misbehaves as told.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the test server does with one request.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// Honours a range, sends at most so many bytes, then cuts the connection.
    Upto(usize),
    /// The whole file, whatever range was asked for.
    Whole,
    /// As `Upto` without a limit, but slowly: a few seconds for 100 kB.
    Slowly,
    /// Only a status.
    Status(u16),
    /// The wrong bytes, of the right length.
    Wrong,
    /// More bytes than there should be.
    Longer,
}

/// A server on this machine that gives `file`, one answer a request (the last one again and
/// again); returns the address and the ranges that were asked for.
pub(crate) fn serve(file: Vec<u8>, answers: Vec<Answer>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/file", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    std::thread::spawn(move || {
        for (i, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut range = String::new();
            for line in BufReader::new(stream.try_clone().unwrap()).lines() {
                let line = line.unwrap().to_lowercase();
                if line.is_empty() {
                    break;
                }
                if let Some(value) = line.strip_prefix("range: bytes=") {
                    value.clone_into(&mut range);
                }
            }
            let from: usize = range.trim_end_matches('-').parse().unwrap_or(0);
            seen.lock().unwrap().push(range);
            let n = file.len();
            let partial = format!("206 x\r\ncontent-range: bytes {from}-{}/{n}", n - 1);
            let flipped = file.iter().map(|b| !b).collect();
            let answer = answers[i.min(answers.len() - 1)];
            let (status, length, body) = match answer {
                Answer::Upto(most) => {
                    let end = from.saturating_add(most).min(n);
                    let status = if from > 0 { partial } else { "200 OK".to_owned() };
                    (status, n - from, file[from..end].to_vec())
                }
                Answer::Slowly => {
                    let status = if from > 0 { partial } else { "200 OK".to_owned() };
                    (status, n - from, file[from..].to_vec())
                }
                Answer::Whole => ("200 OK".to_owned(), n, file.clone()),
                Answer::Status(status) => (format!("{status} x"), 0, Vec::new()),
                Answer::Wrong => ("200 OK".to_owned(), n, flipped),
                Answer::Longer => ("200 OK".to_owned(), n + 1, [&file[..], b"!"].concat()),
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
            );
            // The client may be gone: that is what some tests are about.
            let mut sent = stream.write_all(head.as_bytes());
            let slow = matches!(answer, Answer::Slowly);
            for piece in body.chunks(if slow { 512 } else { usize::MAX }) {
                sent = sent.and_then(|()| stream.write_all(piece));
                std::thread::sleep(Duration::from_millis(if slow { 15 } else { 0 }));
            }
        }
    });
    (address, asked)
}
