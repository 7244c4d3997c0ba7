//! Downloads from servers that stop, lie or come back.

use std::env;
use std::net::TcpListener;
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use super::*;
use crate::data::test_server::{Answer, serve};
use ledger::run::hex;

fn entry(file: &[u8], urls: Vec<String>) -> FileEntry {
    FileEntry {
        form: String::new(),
        path: "file".into(),
        mirror: None,
        member: None,
        only: Vec::new(),
        sha256: hex(&Sha256::digest(file)),
        size_bytes: file.len() as u64,
        unpacked: None,
        also: Vec::new(),
        urls,
    }
}

fn bytes() -> Vec<u8> {
    (0..100_000_u64).map(|i| ((i * i) >> 3) as u8).collect()
}

const HASTY: Patience = Patience {
    attempts: 3,
    unanswered: 2,
    pause: Duration::from_millis(1),
    silence: Duration::from_secs(5),
};

/// Downloads into a folder of its own; returns the result and what lies in the folder.
fn fetch(entry: &FileEntry, before: &[(&str, &[u8])]) -> (Result<(), DataError>, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in before {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    let target = dir.path().join("file");
    let result = download(entry, &target, HASTY, &mut DeadHosts::new());
    if result.is_ok() {
        assert_eq!(sha256_file(&target).unwrap(), entry.sha256);
    }
    let mut names: Vec<String> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    (result, names)
}

#[test]
fn a_connection_that_is_cut_again_and_again_is_resumed_where_it_broke() {
    let cuts =
        vec![Answer::Upto(30_000), Answer::Upto(1), Answer::Status(503), Answer::Upto(50_000)];
    let (url, asked) = serve(bytes(), cuts);
    let (result, names) = fetch(&entry(&bytes(), vec![url]), &[]);
    result.unwrap();
    assert_eq!(names, ["file"], "only the finished file stays");
    assert_eq!(*asked.lock().unwrap(), ["", "30000-", "30001-", "30001-", "80001-"]);
}

#[test]
fn what_an_earlier_process_left_is_not_fetched_again() {
    let (url, asked) = serve(bytes(), vec![Answer::Upto(100_000)]);
    let entry = entry(&bytes(), vec![url]);
    let part = format!("file.{}.part", &entry.sha256[..8]);
    fetch(&entry, &[(&part, &bytes()[..70_000])]).0.unwrap();
    assert_eq!(*asked.lock().unwrap(), ["70000-"]);
}

/// Not a test of its own: what the process does that the next test kills.
#[test]
#[ignore = "run by another test"]
fn child_that_downloads() {
    let Ok(url) = env::var("TEST_DOWNLOAD_URL") else { return };
    let target = PathBuf::from(env::var("TEST_DOWNLOAD_TARGET").unwrap());
    download(&entry(&bytes(), vec![url]), &target, HASTY, &mut DeadHosts::new()).unwrap();
}

#[test]
fn a_download_killed_in_the_middle_goes_on_where_it_was() {
    let (url, asked) = serve(bytes(), vec![Answer::Slowly, Answer::Upto(usize::MAX)]);
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("file");
    let entry = entry(&bytes(), vec![url.clone()]);
    let part = part_path(&target, &entry);
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "data::fetch::tests::child_that_downloads", "--ignored"])
        .env("TEST_DOWNLOAD_URL", &url)
        .env("TEST_DOWNLOAD_TARGET", &target)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    while size_of(&part) < 20_000 {
        assert!(child.try_wait().unwrap().is_none(), "the child ended by itself");
        sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let had = size_of(&part);
    assert!(had < 100_000 && !target.exists(), "{had} bytes");

    download(&entry, &target, HASTY, &mut DeadHosts::new()).unwrap();
    assert_eq!(sha256_file(&target).unwrap(), entry.sha256);
    assert_eq!(*asked.lock().unwrap(), [String::new(), format!("{had}-")]);
    assert!(!part.exists());
}

#[test]
fn a_server_without_ranges_sends_the_whole_file_again() {
    let (url, _) = serve(bytes(), vec![Answer::Upto(30_000), Answer::Whole]);
    fetch(&entry(&bytes(), vec![url]), &[]).0.unwrap();
}

#[test]
fn a_wrong_beginning_left_by_an_earlier_process_is_thrown_away() {
    let (url, asked) = serve(bytes(), vec![Answer::Upto(100_000)]);
    let entry = entry(&bytes(), vec![url]);
    let part = format!("file.{}.part", &entry.sha256[..8]);
    for wrong in [vec![7; 10], vec![7; 100_000], vec![7; 200_000]] {
        fetch(&entry, &[(&part, &wrong)]).0.unwrap();
    }
    assert_eq!(*asked.lock().unwrap(), ["10-", "", "", ""]);
}

#[test]
fn wrong_bytes_are_an_error_with_both_sums_and_leave_nothing() {
    let (url, _) = serve(bytes(), vec![Answer::Wrong]);
    let (result, names) = fetch(&entry(&bytes(), vec![url.clone()]), &[]);
    let error = result.unwrap_err().to_string();
    let found = hex(&Sha256::digest(bytes().iter().map(|b| !b).collect::<Vec<u8>>()));
    let wanted = hex(&Sha256::digest(bytes()));
    assert!(error.contains(&format!("found sha256 {found}, wanted {wanted}")), "{error}");
    assert!(error.contains(&url), "{error}");
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn a_longer_file_is_refused_while_it_arrives() {
    let (url, _) = serve(bytes(), vec![Answer::Longer]);
    let (result, names) = fetch(&entry(&bytes(), vec![url]), &[]);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("more than the 100000 bytes wanted"), "{error}");
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn a_missing_file_is_not_asked_for_twice_and_the_next_address_is_tried() {
    let (gone, asked) = serve(bytes(), vec![Answer::Status(404)]);
    let (good, _) = serve(bytes(), vec![Answer::Whole]);
    fetch(&entry(&bytes(), vec![gone, good]), &[]).0.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn giving_up_keeps_what_arrived_and_says_where() {
    let (url, asked) = serve(bytes(), vec![Answer::Upto(30_000), Answer::Status(500)]);
    let (result, names) = fetch(&entry(&bytes(), vec![url]), &[]);
    let error = result.unwrap_err().to_string();
    assert!(error.contains("status 500") && error.contains("30000 bytes are kept"), "{error}");
    assert_eq!(names.len(), 1);
    assert!(names[0].contains(".part"), "{names:?}");
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[test]
fn a_host_that_does_not_answer_is_not_asked_for_the_next_file() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = free.local_addr().unwrap().to_string();
    drop(free);
    let dir = tempfile::tempdir().unwrap();
    let entry = entry(&bytes(), vec![format!("http://{host}/file")]);
    let mut dead = DeadHosts::new();
    let first = download(&entry, &dir.path().join("file"), HASTY, &mut dead).unwrap_err();
    assert!(first.to_string().contains("refused"), "{first}");
    assert!(dead.contains(&host));
    let second = download(&entry, &dir.path().join("file"), HASTY, &mut dead).unwrap_err();
    assert!(second.to_string().contains("did not answer before"), "{second}");
}

#[test]
fn a_full_disk_is_named_with_free_and_needed_space() {
    let dir = tempfile::tempdir().unwrap();
    check_space(&dir.path().join("file"), 1).unwrap();
    let error = check_space(&dir.path().join("file"), u64::MAX / 2).unwrap_err().to_string();
    assert!(error.contains("MB free") && error.contains("LANDMARKS_CACHE"), "{error}");
}
