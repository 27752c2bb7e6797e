use std::{
    collections::{HashMap, HashSet},
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use kilobase_models::checkpoint::{
    Checkpoint, Error, HubFault, Precision,
    hub::{Options, Progress, resolve},
    write_safetensors,
};
use serde_json::json;
use tiny_http::{Header, Response, Server, StatusCode};

use crate::{directory::sha256, fixture};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const NAME: &str = "lab/tiny";

/// How a hub misbehaves.
#[derive(Clone, Default)]
struct Vice {
    /// Sends half of these files and announces the whole.
    truncate: HashSet<String>,
    /// Sends half of these files and announces the half, with the size of the whole in the range.
    short: HashSet<String>,
    /// Sends other bytes than the etag is the digest of.
    corrupt: HashSet<String>,
    etag: Option<&'static str>,
    commit: Option<&'static str>,
    status: Option<u16>,
    ignore_ranges: bool,
    without_headers: bool,
}

struct Hub {
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
    requests: Arc<Mutex<Vec<(String, String)>>>,
}

impl Hub {
    fn start(files: HashMap<String, Vec<u8>>, vice: Vice) -> Self {
        let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (serving, log) = (server.clone(), requests.clone());
        let thread = thread::spawn(move || {
            for request in serving.incoming_requests() {
                let header = |name: &'static str| {
                    request.headers().iter().find(|h| h.field.equiv(name)).map(|h| h.value.to_string())
                };
                let range = header("Range").unwrap_or_default();
                log.lock().unwrap().push((request.url().to_owned(), range.clone()));
                let file = request.url().rsplit('/').next().unwrap().to_owned();
                let _ = request.respond(answer(&file, files.get(&file), &range, &vice));
            }
        });
        Self { server, thread: Some(thread), requests }
    }

    fn endpoint(&self) -> String {
        format!("http://{}", self.server.server_addr())
    }

    fn options(&self, cache: &Path) -> Options<'static> {
        let timeout = Some(Duration::from_secs(2));
        Options {
            cache: Some(cache.to_owned()),
            endpoint: Some(self.endpoint()),
            timeout,
            ..Options::default()
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.server.unblock();
        self.thread.take().unwrap().join().unwrap();
    }
}

type Answer = Response<std::io::Cursor<Vec<u8>>>;

fn answer(file: &str, bytes: Option<&Vec<u8>>, range: &str, vice: &Vice) -> Answer {
    if let Some(status) = vice.status {
        return Response::from_data([]).with_status_code(StatusCode(status));
    }
    let Some(bytes) = bytes else {
        return Response::from_data([]).with_status_code(StatusCode(404));
    };
    let (from, to) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let from: usize = from.parse().unwrap();
    let to = to.parse().map_or(bytes.len(), |to: usize| bytes.len().min(to + 1));
    if from >= bytes.len() && !vice.ignore_ranges {
        return Response::from_data([]).with_status_code(StatusCode(416));
    }
    let (from, to, status) = if vice.ignore_ranges { (0, bytes.len(), 200) } else { (from, to, 206) };
    let mut body = bytes[from..to].to_vec();
    if vice.corrupt.contains(file) {
        for byte in &mut body {
            *byte ^= 1;
        }
    }
    let whole = body.len();
    if (vice.truncate.contains(file) || vice.short.contains(file)) && whole > 1 {
        body.truncate(whole / 2);
    }
    let announced = if vice.truncate.contains(file) { whole } else { body.len() };
    let etag = vice.etag.map_or_else(|| sha256(bytes), String::from);
    let header = |name: &str, value: &str| Header::from_bytes(name, value).unwrap();
    let mut headers = vec![];
    if !vice.without_headers {
        headers.push(header("ETag", &format!("\"{etag}\"")));
        headers.push(header("X-Repo-Commit", vice.commit.unwrap_or(COMMIT)));
    }
    if status == 206 {
        headers.push(header("Content-Range", &format!("bytes {from}-{}/{}", to - 1, bytes.len())));
    }
    // A body shorter than announced makes the server close the connection early, as a lost one would.
    Response::new(StatusCode(status), headers, std::io::Cursor::new(body), Some(announced), None)
        .with_chunked_threshold(usize::MAX)
}

fn files(names: &[&str]) -> HashMap<String, Vec<u8>> {
    names.iter().map(|name| ((*name).to_owned(), fixture::bytes(name))).collect()
}

fn whole() -> HashMap<String, Vec<u8>> {
    let mut files =
        files(&["config.json", "tokenizer_config.json", "model.safetensors", "pytorch_model.bin"]);
    files.insert("modeling_bert.py".into(), b"import os".to_vec());
    files
}

fn offline(cache: &Path) -> Options<'static> {
    Options { offline: true, cache: Some(cache.to_owned()), ..Options::default() }
}

fn fault(error: Error) -> HubFault {
    match error {
        Error::Hub { fault, .. } => fault,
        other => panic!("{other}"),
    }
}

/// Every file below the snapshots and blobs of a cache that counts as complete.
fn complete_files(cache: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut folders = vec![cache.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|e| e != "incomplete") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn a_model_is_downloaded_once_and_then_found_offline() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::start(whole(), Vice::default());
    let dir = resolve(NAME, hub.options(cache.path())).unwrap();
    assert!(dir.ends_with(format!("models--lab--tiny/snapshots/{COMMIT}")), "{dir:?}");
    assert_eq!(Checkpoint::open(&dir).unwrap().weights().len(), 42);
    assert!(dir.join("tokenizer_config.json").is_file());
    assert!(!dir.join("pytorch_model.bin").exists() && !dir.join("tokenizer.json").exists());
    let requests = hub.requests.lock().unwrap().clone();
    assert!(requests.iter().all(|(url, _)| !url.contains(".py") && url.starts_with("/lab/tiny/resolve/")));
    // After the first answer every file is taken from the commit it named.
    assert!(requests[1..].iter().all(|(url, _)| url.contains(COMMIT)), "{requests:?}");

    assert_eq!(resolve(NAME, hub.options(cache.path())).unwrap(), dir);
    assert_eq!(hub.requests.lock().unwrap().len(), requests.len());
    drop(hub);
    assert_eq!(resolve(NAME, offline(cache.path())).unwrap(), dir);
    assert_eq!(resolve(&format!("{NAME}@{COMMIT}"), offline(cache.path())).unwrap(), dir);
    let absent = resolve(&format!("{NAME}@v2"), offline(cache.path())).unwrap_err();
    assert!(absent.is_missing_resource() && matches!(fault(absent), HubFault::Offline { .. }));
}

#[test]
fn shards_are_downloaded_and_each_is_needed_offline() {
    let made = fixture::model(&[]);
    let mut map = serde_json::Map::new();
    for n in 1..=2 {
        let shard = format!("model-{n:05}-of-00002.safetensors");
        let name = format!("w{n}");
        write_safetensors(&made.path().join(&shard), [(name.clone(), [2], [1.0f32, 2.0])], Precision::F32)
            .unwrap();
        map.insert(name, json!(shard));
    }
    fs::write(made.path().join("model.safetensors.index.json"), json!({"weight_map": map}).to_string())
        .unwrap();
    let files: HashMap<String, Vec<u8>> = fs::read_dir(made.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::start(files.clone(), Vice::default());
    let dir = resolve(NAME, hub.options(cache.path())).unwrap();
    assert_eq!(Checkpoint::open(&dir).unwrap().weights().len(), 2);
    fs::remove_file(dir.join("model-00002-of-00002.safetensors")).unwrap();
    match fault(resolve(NAME, offline(cache.path())).unwrap_err()) {
        HubFault::Offline { file, .. } => assert_eq!(file, "model-00002-of-00002.safetensors"),
        other => panic!("{other}"),
    }
    assert_eq!(resolve(NAME, hub.options(cache.path())).unwrap(), dir);
    drop(hub);

    let mut less = files;
    less.remove("model-00002-of-00002.safetensors");
    let hub = Hub::start(less, Vice::default());
    let cache = tempfile::tempdir().unwrap();
    let error = fault(resolve(NAME, hub.options(cache.path())).unwrap_err());
    assert!(matches!(error, HubFault::Status { status: 404, .. }), "{error}");
}

#[test]
fn bin_files_are_taken_where_there_is_nothing_better() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::start(files(&["config.json", "pytorch_model.bin"]), Vice::default());
    let dir = resolve(NAME, hub.options(cache.path())).unwrap();
    assert_eq!(Checkpoint::open(&dir).unwrap().weights().len(), 43);
}

#[test]
fn what_is_not_there_is_a_missing_resource() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::start(HashMap::new(), Vice::default());
    let error = resolve(NAME, hub.options(cache.path())).unwrap_err();
    assert!(error.is_missing_resource() && matches!(fault(error), HubFault::NotKnown { .. }));
    let hub = Hub::start(files(&["config.json"]), Vice::default());
    let error = resolve(NAME, hub.options(cache.path())).unwrap_err();
    assert!(error.is_missing_resource() && matches!(fault(error), HubFault::NoWeights { .. }));
    for status in [401, 403] {
        let hub = Hub::start(whole(), Vice { status: Some(status), ..Vice::default() });
        let error = resolve(NAME, hub.options(cache.path())).unwrap_err();
        assert!(error.is_missing_resource() && matches!(fault(error), HubFault::Refused { .. }));
    }
    let hub = Hub::start(whole(), Vice { status: Some(500), ..Vice::default() });
    assert!(!resolve(NAME, hub.options(cache.path())).unwrap_err().is_missing_resource());
}

#[test]
fn a_hub_that_does_not_answer_is_a_missing_resource() {
    let cache = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = Options {
        cache: Some(cache.path().to_owned()),
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        ..Options::default()
    };
    let error = resolve(NAME, options).unwrap_err();
    assert!(error.is_missing_resource() && matches!(fault(error), HubFault::Unreachable { .. }));
}

#[test]
fn a_hub_that_stays_silent_is_not_waited_for_beyond_the_timeout() {
    let cache = tempfile::tempdir().unwrap();
    // The system takes the connection; nobody ever reads from it.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = Options {
        cache: Some(cache.path().to_owned()),
        endpoint: Some(format!("http://{}", silent.local_addr().unwrap())),
        timeout: Some(Duration::from_millis(300)),
        ..Options::default()
    };
    let start = Instant::now();
    let error = resolve(NAME, options).unwrap_err();
    assert!(error.is_missing_resource() && matches!(fault(error), HubFault::Unreachable { .. }));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_file_that_does_not_arrive_in_full_is_an_error_and_not_kept() {
    let weights = HashSet::from(["model.safetensors".to_owned()]);
    let half = fixture::bytes("model.safetensors").len() / 2;
    for vice in [
        Vice { truncate: weights.clone(), ignore_ranges: true, ..Vice::default() },
        Vice { short: weights.clone(), etag: Some("abc"), ignore_ranges: true, ..Vice::default() },
        Vice { corrupt: weights, ..Vice::default() },
    ] {
        let cache = tempfile::tempdir().unwrap();
        let short = !vice.short.is_empty();
        let hub = Hub::start(whole(), vice);
        let resolved = resolve(NAME, hub.options(cache.path()));
        if short {
            // Half a file announced as half a file cannot be told from a whole one; opening it can.
            let error = resolved.and_then(|dir| Checkpoint::open(&dir)).unwrap_err();
            assert!(matches!(error, Error::Header { .. } | Error::Json { .. }), "{error}");
            continue;
        }
        let error = fault(resolved.unwrap_err());
        assert!(matches!(error, HubFault::Size { .. } | HubFault::Digest { .. }), "{error}");
        let kept = complete_files(cache.path());
        assert!(kept.iter().all(|path| fs::metadata(path).unwrap().len() < half as u64), "{kept:?}");
        assert!(resolve(NAME, offline(cache.path())).unwrap_err().is_missing_resource());
    }
}

#[test]
fn an_answer_shorter_than_its_range_is_an_error() {
    let cache = tempfile::tempdir().unwrap();
    let short = HashSet::from(["model.safetensors".to_owned()]);
    // Half of what is left comes each time, so the tries run out.
    let hub = Hub::start(whole(), Vice { short, ..Vice::default() });
    let error = fault(resolve(NAME, hub.options(cache.path())).unwrap_err());
    assert!(matches!(error, HubFault::Size { .. }), "{error}");
    let from = |(_, range): &(String, String)| range.clone();
    let ranges: Vec<String> = hub.requests.lock().unwrap().iter().map(from).collect();
    let size = fixture::bytes("model.safetensors").len();
    assert!(ranges.contains(&format!("bytes={}-", size / 2)), "taken up where it broke off: {ranges:?}");
    drop(hub);
    // An honest hub completes what is left.
    let hub = Hub::start(whole(), Vice::default());
    let dir = resolve(NAME, hub.options(cache.path())).unwrap();
    assert_eq!(fs::read(dir.join("model.safetensors")).unwrap(), fixture::bytes("model.safetensors"));
    assert_eq!(hub.requests.lock().unwrap().iter().filter(|(_, range)| range == "bytes=0-").count(), 0);
}

#[test]
fn headers_that_would_become_paths_are_checked() {
    for vice in [
        Vice { etag: Some("../../../evil"), ..Vice::default() },
        Vice { etag: Some("/etc/evil"), ..Vice::default() },
        Vice { etag: Some(""), ..Vice::default() },
        Vice { commit: Some("../../evil"), ..Vice::default() },
        Vice { commit: Some("main"), ..Vice::default() },
        Vice { without_headers: true, ..Vice::default() },
    ] {
        let cache = tempfile::tempdir().unwrap();
        let hub = Hub::start(whole(), vice);
        let error = fault(resolve(NAME, hub.options(cache.path())).unwrap_err());
        assert!(matches!(error, HubFault::Header { .. }), "{error}");
        assert!(complete_files(cache.path()).is_empty());
    }
}

#[derive(Default)]
struct Log(HashMap<String, (u64, u64, bool)>, String);

impl Progress for Log {
    fn start(&mut self, file: &str, size: u64, present: u64) {
        file.clone_into(&mut self.1);
        self.0.insert(file.to_owned(), (size, present, false));
    }

    fn advance(&mut self, bytes: u64) {
        self.0.get_mut(&self.1).unwrap().1 += bytes;
    }

    fn finish(&mut self, file: &str) {
        self.0.get_mut(file).unwrap().2 = true;
    }
}

#[test]
fn progress_counts_every_byte() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::start(whole(), Vice::default());
    let mut log = Log::default();
    resolve(NAME, Options { progress: Some(&mut log), ..hub.options(cache.path()) }).unwrap();
    assert_eq!(log.0.len(), 3);
    assert!(log.0.values().all(|&(size, seen, finished)| size == seen && finished));
}

#[test]
fn a_directory_is_used_as_it_is() {
    let options = || Options { offline: true, ..Options::default() };
    let dir = fixture::dir();
    assert_eq!(resolve(dir.to_str().unwrap(), options()).unwrap(), dir);
}
