//! Downloads: resumed, retried, verified, placed whole or not at all.
//!
//! What has arrived lies beside the final name as `<name>.<8 digits of the sum>.part`; it is kept
//! when a download stops, whatever the reason, and the next one asks for the rest only.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::catalog::FileEntry;
use super::error::DataError;
use super::verify::{place, sha256_file};
use crate::interrupt;

/// How patient a download is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Attempts in a row that bring no byte, before giving up.
    pub(crate) attempts: u32,
    /// The same, when the server does not even answer.
    pub(crate) unanswered: u32,
    /// Pause after the first of them; doubled after each further one.
    pub(crate) pause: Duration,
    /// Without a byte for this long, an attempt has failed.
    pub(crate) silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 5,
            unanswered: 2,
            pause: Duration::from_secs(1),
            silence: Duration::from_secs(30),
        }
    }
}

/// Space that must stay free beside the download itself.
const SPARE_BYTES: u64 = 64 << 20;

/// Hosts that did not answer; they are not asked again.
pub(crate) type DeadHosts = BTreeSet<String>;

/// Downloads `entry` from the first of its addresses that gives it, to `target`.
pub(crate) fn download(
    entry: &FileEntry,
    target: &Path,
    patience: Patience,
    dead: &mut DeadHosts,
) -> Result<(), DataError> {
    let mut failures = Vec::new();
    for url in &entry.urls {
        let host = url.split('/').nth(2).unwrap_or_default();
        if dead.contains(host) {
            failures.push(format!("{url}: {host} did not answer before"));
            continue;
        }
        tracing::info!("fetching {url}, {}", how_long(entry.size_bytes));
        match download_from(url, entry, target, patience) {
            Ok(()) => return Ok(()),
            Err(Stop::Here(error)) => return Err(error),
            Err(Stop::Unreachable(reason)) => {
                dead.insert(host.to_owned());
                failures.push(format!("{url}: {reason}"));
            }
            Err(Stop::Again(reason) | Stop::Never(reason)) => {
                failures.push(format!("{url}: {reason}"));
            }
        }
    }
    Err(DataError::Download { url: entry.path.clone(), reason: failures.join("; ") })
}

/// A size, and how long it takes on a usual line.
pub(crate) fn how_long(bytes: u64) -> String {
    let seconds = crate::progress::human_seconds((bytes as f64 / 5e6).ceil());
    format!("{:.1} MB, about {seconds} at 5 MB/s", bytes as f64 / 1e6)
}

/// Why an attempt, or all at one address, ended early.
enum Stop {
    /// The server did not answer at all.
    Unreachable(String),
    /// Another attempt may succeed.
    Again(String),
    /// No attempt will.
    Never(String),
    /// Something on this side; not the network's fault.
    Here(DataError),
}

impl From<DataError> for Stop {
    fn from(error: DataError) -> Self {
        Self::Here(error)
    }
}

fn download_from(
    url: &str,
    entry: &FileEntry,
    target: &Path,
    patience: Patience,
) -> Result<(), Stop> {
    let folder = target.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(DataError::io(folder, "create"))?;
    let part = part_path(target, entry);
    let agent: Agent = Agent::config_builder()
        .timeout_resolve(Some(Duration::from_secs(10)))
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_per_read(Some(patience.silence))
        .http_status_as_error(false)
        .build()
        .into();
    let mut fruitless = 0;
    loop {
        let before = size_of(&part);
        match attempt(&agent, url, entry, &part) {
            Ok(()) => match finish(entry, &part, target)? {
                None => return Ok(()),
                // A resumed file may have begun with bytes of another version: once more, whole.
                Some(wrong) if before > 0 => tracing::warn!("{url}: {wrong}; fetching it whole"),
                Some(wrong) => {
                    return Err(Stop::Never(format!(
                        "{wrong}: the address gives another file than the catalogue describes"
                    )));
                }
            },
            Err(Stop::Unreachable(reason)) => {
                fruitless += 1;
                if fruitless >= patience.unanswered {
                    return Err(Stop::Unreachable(reason));
                }
                wait(patience.pause)?;
            }
            Err(Stop::Again(reason)) => {
                fruitless = if size_of(&part) > before { 1 } else { fruitless + 1 };
                if fruitless >= patience.attempts {
                    return Err(Stop::Again(format!(
                        "{reason}, {fruitless} times in a row; {} bytes are kept in {} and the \
                         next try goes on from there",
                        size_of(&part),
                        part.display()
                    )));
                }
                let pause = patience.pause * 2_u32.pow(fruitless - 1);
                tracing::info!("{url}: {reason}; trying again in {} s", pause.as_secs_f32());
                wait(pause)?;
            }
            Err(stop) => return Err(stop),
        }
    }
}

fn part_path(target: &Path, entry: &FileEntry) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!("{name}.{}.part", &entry.sha256[..8]))
}

fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

/// Pauses, but not past an interrupt.
fn wait(pause: Duration) -> Result<(), DataError> {
    let end = Instant::now() + pause;
    while Instant::now() < end {
        interrupt::check().map_err(DataError::Interrupted)?;
        sleep(Duration::from_millis(50).min(pause));
    }
    Ok(())
}

/// One request for what is missing, appended to `part`. `Ok` when the file is as long as it should be.
fn attempt(agent: &Agent, url: &str, entry: &FileEntry, part: &Path) -> Result<(), Stop> {
    let longest = entry.versions().map(|(_, size)| size).max().expect("an entry has a version");
    let mut have = size_of(part);
    if have > longest {
        fs::remove_file(part).map_err(DataError::io(part, "remove"))?;
        have = 0;
    }
    if entry.versions().any(|(_, size)| size == have) {
        return Ok(());
    }
    let mut request = agent.get(url).header(header::ACCEPT_ENCODING, "identity");
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
    }
    let response = request.call().map_err(|e| match e {
        ureq::Error::BadUri(_) | ureq::Error::InvalidProxyUrl => Stop::Never(e.to_string()),
        e => Stop::Unreachable(e.to_string()),
    })?;
    let status = response.status();
    let resumed = status == StatusCode::PARTIAL_CONTENT && range_start(&response) == Some(have);
    match status {
        StatusCode::OK => {}
        StatusCode::PARTIAL_CONTENT if resumed => {}
        // The server has no such rest: what is here cannot be a beginning of its file.
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            fs::remove_file(part).map_err(DataError::io(part, "remove"))?;
            return Err(Stop::Again(format!("the server cannot resume ({status})")));
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            return Err(Stop::Again(format!("status {status}")));
        }
        _ if status.is_server_error() => return Err(Stop::Again(format!("status {status}"))),
        _ => return Err(Stop::Never(format!("status {status}"))),
    }
    if !resumed {
        have = 0;
    }
    check_space(part, longest - have)?;
    let mut options = File::options();
    options.create(true).append(resumed).write(true).truncate(!resumed);
    let mut file = options.open(part).map_err(DataError::io(part, "open"))?;
    let copied = copy(response.into_body(), &mut file, part, have, longest);
    file.sync_all().map_err(DataError::io(part, "sync"))?;
    copied?;
    let have = size_of(part);
    if entry.versions().any(|(_, size)| size == have) {
        return Ok(());
    }
    Err(Stop::Again(format!("the connection ended after {have} of {longest} bytes")))
}

/// Where a partial answer begins, from `Content-Range: bytes 100-199/200`.
fn range_start(response: &Response<Body>) -> Option<u64> {
    let value = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    value.trim().strip_prefix("bytes")?.trim_start().split('-').next()?.parse().ok()
}

fn copy(body: Body, file: &mut File, part: &Path, mut have: u64, longest: u64) -> Result<(), Stop> {
    let mut reader = body.into_reader();
    let mut buffer = vec![0; 1 << 16];
    let (started, first, mut shown) = (Instant::now(), have, Instant::now());
    loop {
        interrupt::check().map_err(DataError::Interrupted)?;
        let n = reader.read(&mut buffer).map_err(|e| Stop::Again(e.to_string()))?;
        if n == 0 {
            return Ok(());
        }
        have += n as u64;
        if have > longest {
            drop(fs::remove_file(part));
            return Err(Stop::Never(format!(
                "more than the {longest} bytes wanted: another file than the catalogue describes"
            )));
        }
        file.write_all(&buffer[..n]).map_err(DataError::io(part, "write"))?;
        if shown.elapsed() >= Duration::from_secs(5) {
            shown = Instant::now();
            let rate = (have - first) as f64 / started.elapsed().as_secs_f64();
            tracing::info!(
                "{:.0} of {:.0} MB, {:.1} MB/s, about {} left",
                have as f64 / 1e6,
                longest as f64 / 1e6,
                rate / 1e6,
                crate::progress::human_seconds((longest - have) as f64 / rate.max(1.0))
            );
        }
    }
}

/// Verifies what arrived and renames it; in words what is wrong with it, else. Wrong bytes do not stay.
fn finish(entry: &FileEntry, part: &Path, target: &Path) -> Result<Option<String>, DataError> {
    let found = sha256_file(part)?;
    if entry.versions().any(|(sha, _)| sha == found) {
        place(part, target)?;
        return Ok(None);
    }
    fs::remove_file(part).map_err(DataError::io(part, "remove"))?;
    let wanted: Vec<&str> = entry.versions().map(|(sha, _)| sha).collect();
    Ok(Some(format!("found sha256 {found}, wanted {}", wanted.join(" or "))))
}

/// Refuses to start what will not fit.
pub(crate) fn check_space(path: &Path, need_bytes: u64) -> Result<(), DataError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let Ok(disk) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= need_bytes + SPARE_BYTES {
        return Ok(());
    }
    Err(DataError::NoSpace {
        path: folder.to_owned(),
        free_mb: free / 1_000_000,
        need_mb: (need_bytes + SPARE_BYTES).div_ceil(1_000_000),
    })
}

#[cfg(test)]
mod tests;
