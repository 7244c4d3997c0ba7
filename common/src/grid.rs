//! A grid of runs as processes of their own, several at a time.
//!
//! Small models train fastest as several one-thread processes. Each run is one process of the same
//! binary, called as `<binary> worker` with its specification as the first line of its stdin and
//! its messages as JSON lines on its stdout. The rest of stdin is a rope: when it closes, because
//! this process was asked to stop or has died, the worker writes a checkpoint and ends.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::interrupt;
use crate::progress::{Progress, Tick};

/// One run to make.
#[derive(Debug, Clone)]
pub struct Job<S> {
    /// What progress calls it, e.g. `authors-relu seed 0`.
    pub name: String,
    /// What the worker needs to know.
    pub spec: S,
}

/// What a worker tells.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Where it is.
    Tick(Tick),
    /// It has finished; one line for the user.
    Done(String),
    /// It has failed, and why.
    Failed(String),
}

/// A grid that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum GridError {
    /// A worker could not be started.
    #[error("cannot start a worker process: {0}")]
    Start(io::Error),
    /// Runs failed; the others went on to their end.
    #[error("{} of {total} runs failed:\n{}", failed.len(), failed.join("\n"))]
    Failed {
        /// `name: why` of each.
        failed: Vec<String>,
        /// How many there were.
        total: usize,
    },
    /// Ctrl-C or SIGTERM; every worker has written its checkpoint.
    #[error("{0}")]
    Interrupted(#[from] interrupt::Interrupted),
}

struct Running {
    child: Child,
    rope: Option<ChildStdin>,
}

/// Runs all jobs, `parallel` at a time with `threads` threads each, in order.
///
/// # Errors
/// When a worker cannot start, any run failed (after the others have ended), or the process was
/// asked to stop.
pub fn run<S: Serialize>(
    jobs: &[Job<S>],
    parallel: usize,
    threads: usize,
    progress: &mut Progress,
) -> Result<(), GridError> {
    let (sender, messages) = mpsc::channel::<(usize, Option<Message>)>();
    let mut running: Vec<Option<Running>> = jobs.iter().map(|_| None).collect();
    let (mut next, mut active) = (0, 0);
    let mut failed = Vec::new();
    let mut spoke_last: Vec<bool> = vec![false; jobs.len()]; // said how it ended
    let mut stopped = Ok(());
    loop {
        while stopped.is_ok() && active < parallel.max(1) && next < jobs.len() {
            running[next] = Some(start(&jobs[next].spec, threads, next, sender.clone())?);
            active += 1;
            next += 1;
        }
        if active == 0 {
            break;
        }
        if stopped.is_ok() {
            stopped = interrupt::check();
            if stopped.is_err() {
                for worker in running.iter_mut().flatten() {
                    worker.rope = None;
                }
            }
        }
        let Ok((index, message)) = messages.recv_timeout(Duration::from_millis(100)) else {
            continue;
        };
        let name = &jobs[index].name;
        match message {
            Some(Message::Tick(tick)) => progress.tick(name, &tick),
            Some(Message::Done(summary)) => {
                spoke_last[index] = true;
                progress.finish(name, &summary);
            }
            Some(Message::Failed(why)) => {
                spoke_last[index] = true;
                progress.finish(name, &format!("failed: {why}"));
                failed.push(format!("{name}: {why}"));
            }
            None => {
                active -= 1;
                let mut worker = running[index].take().expect("only a running worker ends");
                worker.rope = None;
                let status = worker.child.wait().map_err(GridError::Start)?;
                if !spoke_last[index] && stopped.is_ok() && interrupt::check().is_ok() {
                    let why = format!("the process ended unexpectedly ({status})");
                    progress.finish(name, &why);
                    failed.push(format!("{name}: {why}"));
                }
            }
        }
    }
    stopped?;
    interrupt::check()?;
    if failed.is_empty() { Ok(()) } else { Err(GridError::Failed { failed, total: jobs.len() }) }
}

fn start<S: Serialize>(
    spec: &S,
    threads: usize,
    index: usize,
    sender: mpsc::Sender<(usize, Option<Message>)>,
) -> Result<Running, GridError> {
    let binary = this_program().map_err(GridError::Start)?;
    let mut command = Command::new(binary);
    #[cfg(unix)]
    if let Some(name) = std::env::args_os().next() {
        // What `ps` shows.
        std::os::unix::process::CommandExt::arg0(&mut command, name);
    }
    command.arg("worker").env("OMP_NUM_THREADS", threads.to_string());
    if std::env::var_os("LANDMARKS_LOG").is_none() {
        command.env("LANDMARKS_LOG", "warn"); // this process has said where the data comes from
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(GridError::Start)?;
    let mut rope = child.stdin.take().expect("stdin is piped");
    let spec = serde_json::to_string(spec).expect("a specification is plain data");
    writeln!(rope, "{spec}").map_err(GridError::Start)?;
    let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            if let Ok(message) = serde_json::from_str(&line)
                && sender.send((index, Some(message))).is_err()
            {
                return;
            }
        }
        let _ = sender.send((index, None));
    });
    Ok(Running { child, rope: Some(rope) })
}

/// The program that runs now, even if its file was replaced since, e.g. by a build: a grid lasts hours.
pub(crate) fn this_program() -> io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { std::env::current_exe() }
}

/// The worker's side: reads the specification and asks the process to stop when the rope goes.
///
/// # Errors
/// When stdin holds no specification.
pub fn receive<S: DeserializeOwned>() -> io::Result<S> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    let spec = serde_json::from_str(&line)?;
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        interrupt::request();
    });
    Ok(spec)
}

/// The worker's side: tells the parent. A parent that has gone is noticed by the rope.
pub fn tell(message: &Message) {
    let line = serde_json::to_string(message).expect("a message is plain data");
    let _ = writeln!(io::stdout().lock(), "{line}");
}
