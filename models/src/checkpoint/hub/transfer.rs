//! Asking the hub for a file, and receiving exactly what was announced.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    thread,
    time::Duration,
};

use sha2::{Digest, Sha256};
use ureq::{
    Agent, Body,
    config::RedirectAuthHeaders,
    http::{HeaderMap, Response, StatusCode},
};

use super::{HubFault, Progress, name::is_plain};

/// How long the hub may stay silent, if nothing else is said.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// How often a transfer that breaks off is taken up again.
const RETRIES: u32 = 2;

/// How many redirections inside the hub are followed; a renamed model needs one.
const MAX_REDIRECTS: usize = 5;

/// A file as the hub describes it.
pub(super) struct Remote {
    /// The name of its content, fit for a file name.
    pub(super) etag: String,
    /// The commit it belongs to.
    pub(super) commit: String,
}

#[derive(Debug)]
pub(super) enum TransferError {
    Hub(HubFault),
    Io(io::Error),
}

impl From<HubFault> for TransferError {
    fn from(fault: HubFault) -> Self {
        Self::Hub(fault)
    }
}

impl From<io::Error> for TransferError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// One model on a hub.
pub(super) struct Hub<'a> {
    endpoint: String,
    repo: String,
    authorization: Option<String>,
    /// Follows redirections to where large files are kept, without the token.
    follow: Agent,
    /// Stops at redirections, since only the hub itself answers with commit and etag.
    stay: Agent,
    progress: Option<&'a mut dyn Progress>,
}

impl<'a> Hub<'a> {
    pub(super) fn new(
        endpoint: String,
        repo: String,
        token: Option<String>,
        timeout: Duration,
        progress: Option<&'a mut dyn Progress>,
    ) -> Self {
        let secure = endpoint.starts_with("https://");
        let agent = |redirects| {
            Agent::config_builder()
                .http_status_as_error(false)
                .https_only(secure)
                .max_redirects(redirects)
                .redirect_auth_headers(RedirectAuthHeaders::SameHost)
                .timeout_resolve(Some(timeout))
                .timeout_connect(Some(timeout))
                .timeout_recv_response(Some(timeout))
                .timeout_per_read(Some(timeout))
                .user_agent(concat!("kilobase/", env!("CARGO_PKG_VERSION")))
                .build()
                .new_agent()
        };
        let authorization = token.map(|token| format!("Bearer {token}"));
        Self { follow: agent(10), stay: agent(0), endpoint, repo, authorization, progress }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    fn url(&self, revision: &str, file: &str) -> String {
        format!("{}/{}/resolve/{revision}/{file}", self.endpoint, self.repo)
    }

    fn get(&self, agent: &Agent, url: &str, range: &str) -> Result<Response<Body>, HubFault> {
        let mut request = agent.get(url).header("range", range);
        if let Some(authorization) = &self.authorization {
            request = request.header("authorization", authorization);
        }
        let unreachable = |source: ureq::Error| HubFault::Unreachable {
            endpoint: self.endpoint.clone(),
            source: source.into(),
        };
        request.call().map_err(unreachable)
    }

    /// What the hub says of a file; none if there is no such file.
    pub(super) fn describe(&self, revision: &str, file: &str) -> Result<Option<Remote>, HubFault> {
        let mut url = self.url(revision, file);
        for _ in 0..=MAX_REDIRECTS {
            let response = self.get(&self.stay, &url, "bytes=0-0")?;
            let status = response.status();
            if status == StatusCode::NOT_FOUND {
                return Ok(None);
            }
            if !status.is_redirection() {
                self.check_status(file, status)?;
            }
            let headers = response.headers();
            // A path without a host is the hub's own way of saying that the model has another name now.
            let location =
                header(headers, "location").filter(|path| path.starts_with('/') && !path.starts_with("//"));
            match location {
                Some(path) if status.is_redirection() => url = format!("{}{path}", origin(&self.endpoint)),
                _ => return remote(headers, file).map(Some),
            }
        }
        Err(HubFault::Status { endpoint: self.endpoint.clone(), file: file.to_owned(), status: 310 })
    }

    fn check_status(&self, file: &str, status: StatusCode) -> Result<(), HubFault> {
        let endpoint = self.endpoint.clone();
        match status.as_u16() {
            200..=299 => Ok(()),
            status @ (401 | 403) => Err(HubFault::Refused { endpoint, status }),
            status => Err(HubFault::Status { endpoint, file: file.to_owned(), status }),
        }
    }

    /// Downloads a file to `blob`, which exists only once the file is complete. What an interrupted download left is used.
    pub(super) fn download(
        &mut self,
        commit: &str,
        file: &str,
        etag: &str,
        blob: &Path,
        limit: u64,
    ) -> Result<(), TransferError> {
        fs::create_dir_all(blob.parent().expect("a blob lies in a folder"))?;
        let partial = blob.with_file_name(format!("{etag}.incomplete"));
        let mut out = OpenOptions::new().create(true).read(true).append(true).open(&partial)?;
        match out.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => out.lock()?,
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        // Whoever held the lock may have finished the file.
        if blob.is_file() {
            return Ok(());
        }
        let url = self.url(commit, file);
        let mut attempt = 0;
        loop {
            match self.receive(&url, file, limit, &mut out) {
                Ok(()) => break,
                Err(error) if attempt == RETRIES => return Err(error),
                // Only what ends too early is worth another try.
                Err(TransferError::Hub(HubFault::Size { announced, received, .. }))
                    if received < announced => {}
                Err(TransferError::Hub(HubFault::Unreachable { .. })) if attempt > 0 => {}
                Err(error) => return Err(error),
            }
            attempt += 1;
            thread::sleep(Duration::from_millis(200 << attempt));
        }
        if let Err(error) = check_digest(file, etag, &mut out) {
            // Taking it up again would not make it right.
            fs::remove_file(&partial)?;
            return Err(error);
        }
        out.sync_all()?;
        fs::rename(&partial, blob)?;
        if let Some(progress) = &mut self.progress {
            progress.finish(file);
        }
        Ok(())
    }

    /// Appends what `out` lacks of the file.
    fn receive(&mut self, url: &str, file: &str, limit: u64, out: &mut File) -> Result<(), TransferError> {
        let mut present = out.metadata()?.len();
        let mut response = self.get(&self.follow, url, &format!("bytes={present}-"))?;
        // Nothing is left to send, or what is there is longer than the file: begin again.
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && present > 0 {
            out.set_len(0)?;
            present = 0;
            response = self.get(&self.follow, url, "bytes=0-")?;
        }
        self.check_status(file, response.status())?;
        let (start, size) = extent(&response, file)?;
        if start != present {
            // A server that knows no ranges sends the whole.
            out.set_len(start)?;
            present = start;
        }
        if size > limit {
            return Err(HubFault::TooLarge { file: file.to_owned(), size, limit }.into());
        }
        if let Some(progress) = &mut self.progress {
            progress.start(file, size, present);
        }
        let mut body = response.body_mut().as_reader();
        let mut buffer = vec![0; 1 << 17];
        let mut received = present;
        // A read error counts as an early end: the sizes tell, and what arrived is kept for the next try.
        while let Ok(read @ 1..) = body.read(&mut buffer) {
            received += read as u64;
            if received > size {
                out.set_len(0)?;
                return Err(HubFault::Size { file: file.to_owned(), announced: size, received }.into());
            }
            out.write_all(&buffer[..read])?;
            if let Some(progress) = &mut self.progress {
                progress.advance(read as u64);
            }
        }
        if received < size {
            return Err(HubFault::Size { file: file.to_owned(), announced: size, received }.into());
        }
        Ok(())
    }
}

/// Scheme and host of a URL.
fn origin(endpoint: &str) -> &str {
    let host = endpoint.find("://").map_or(0, |at| at + 3);
    endpoint[host..].find('/').map_or(endpoint, |at| &endpoint[..host + at])
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Commit and etag, which become names of files and must not be more than that.
fn remote(headers: &HeaderMap, file: &str) -> Result<Remote, HubFault> {
    let untrusted = |header, value: Option<&str>| HubFault::Header {
        file: file.to_owned(),
        header,
        value: value.unwrap_or_default().chars().take(120).collect(),
    };
    let commit = header(headers, "x-repo-commit");
    let commit = commit
        .filter(|commit| (7..=64).contains(&commit.len()) && commit.bytes().all(|b| b.is_ascii_hexdigit()))
        .ok_or_else(|| untrusted("x-repo-commit", commit))?;
    // Large files are kept elsewhere; the link's etag is that of the file.
    let etag = header(headers, "x-linked-etag").or_else(|| header(headers, "etag"));
    let plain =
        etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"')).filter(|etag| is_plain(etag));
    let etag_out = plain.ok_or_else(|| untrusted("etag", etag))?;
    Ok(Remote { etag: etag_out.to_owned(), commit: commit.to_owned() })
}

/// From which byte the answer is, and the size of the whole file.
fn extent(response: &Response<Body>, file: &str) -> Result<(u64, u64), HubFault> {
    let untrusted = |header: &'static str, value: Option<&str>| HubFault::Header {
        file: file.to_owned(),
        header,
        value: value.unwrap_or_default().chars().take(120).collect(),
    };
    let headers = response.headers();
    if response.status() == StatusCode::PARTIAL_CONTENT {
        // bytes 0-99/100
        let value = header(headers, "content-range");
        let parse = |value: &str| {
            let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
            let (start, end) = range.split_once('-')?;
            let (start, end, size) = (start.parse().ok()?, end.parse::<u64>().ok()?, size.parse().ok()?);
            (start <= end && end.checked_add(1) == Some(size)).then_some((start, size))
        };
        return value.and_then(parse).ok_or_else(|| untrusted("content-range", value));
    }
    let value = header(headers, "content-length");
    let size =
        value.and_then(|value| value.parse().ok()).ok_or_else(|| untrusted("content-length", value))?;
    Ok((0, size))
}

/// Compares a file with its etag where that is a SHA-256, as it is for files kept outside of git.
fn check_digest(file: &str, etag: &str, out: &mut File) -> Result<(), TransferError> {
    if etag.len() != 64 || !etag.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(());
    }
    out.seek(SeekFrom::Start(0))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match out.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    let found = hex::encode(hasher.finalize());
    if found.eq_ignore_ascii_case(etag) {
        return Ok(());
    }
    Err(HubFault::Digest { file: file.to_owned(), announced: etag.to_owned(), found }.into())
}
