//! Models by their name on the hub.

use crate::*;

/// Serves the files of the demo model as the hub does, until the value is dropped.
struct Hub {
    server: std::sync::Arc<tiny_http::Server>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Hub {
    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn start() -> Self {
        let server = std::sync::Arc::new(tiny_http::Server::http("127.0.0.1:0").expect("a port"));
        let thread = std::thread::spawn({
            let server = std::sync::Arc::clone(&server);
            move || server.incoming_requests().for_each(Self::answer)
        });
        Self { server, thread: Some(thread) }
    }

    fn address(&self) -> String {
        format!("http://{}", self.server.server_addr())
    }

    fn answer(request: tiny_http::Request) {
        let file = request.url().rsplit('/').next().unwrap_or_default().to_owned();
        let known = request.url().starts_with("/lab/demo/resolve/");
        let header = |name: &str, value: &str| tiny_http::Header::from_bytes(name, value).expect("a header");
        let answer = match fs::read(Path::new(MODEL).join(&file)) {
            Ok(bytes) if known => tiny_http::Response::from_data(bytes)
                .with_header(header("x-repo-commit", Self::COMMIT))
                .with_header(header("etag", &format!("\"{file}-1\"")))
                .with_chunked_threshold(usize::MAX),
            _ => tiny_http::Response::from_data(b"no such entry".to_vec()).with_status_code(404),
        };
        // The client may be gone; that is for its own test to tell.
        request.respond(answer).ok();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.server.unblock();
        self.thread.take().map(|thread| thread.join().ok());
    }
}

#[test]
fn a_model_is_fetched_by_name_once_and_then_used_offline() {
    let folder = folder();
    let run = |endpoint: &str, offline: &str| {
        let mut command = kilobase(["embed", LAMBDA, "-m", "lab/demo", "--window", "20000"]);
        command.env("HF_HOME", folder.path()).env("HF_ENDPOINT", endpoint).env("HF_HUB_OFFLINE", offline);
        command.env_remove("HF_HUB_CACHE").env_remove("HF_TOKEN");
        command.output().unwrap()
    };
    let before = run("http://127.0.0.1:9", "1");
    assert_eq!(before.status.code(), Some(3), "offline and not in the cache");
    let hub = Hub::start();
    let fetched = run(&hub.address(), "0");
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    drop(hub);
    let offline = run("http://127.0.0.1:9", "1");
    assert!(offline.status.success(), "{}", String::from_utf8_lossy(&offline.stderr));
    let local = kilobase(["embed", LAMBDA, "-m", MODEL, "--window", "20000"]).output().unwrap();
    assert_eq!(fetched.stdout, offline.stdout);
    assert_eq!(fetched.stdout, local.stdout);
}
