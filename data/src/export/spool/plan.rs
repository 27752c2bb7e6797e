//! What the run was asked to do, kept beside its results.

use std::{fs, io, io::Write, path::Path};

use serde_json::{Value, json};

use super::{AtomicFile, Error, INDEX, PLAN, Result, VALUES};

/// Counts up when the layout of the folder changes.
const LAYOUT: u64 = 1;

/// The plan as it is kept. It goes through text once, so that numbers compare as they will when read back.
pub(super) fn wrap(plan: &Value, width: usize) -> Result<Value> {
    let wrapped = json!({ "layout": LAYOUT, "width": width, "plan": plan });
    Ok(serde_json::from_str(&wrapped.to_string())?)
}

/// The plan of an earlier run, if there was one.
pub(super) fn read(folder: &Path) -> Result<Option<Value>> {
    let path = folder.join(PLAN);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Rows without a plan were not written by us: the plan comes first.
            let written = |name| fs::metadata(folder.join(name)).is_ok_and(|file| file.len() > 0);
            if written(INDEX) || written(VALUES) {
                return Err(corrupt(folder, "it has no plan.json"));
            }
            return Ok(None);
        }
        Err(error) => return Err(Error::io(path)(error)),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(|error| corrupt(folder, &format!("plan.json is not readable ({error})")))
}

/// Keeps the plan.
pub(super) fn write(folder: &Path, plan: &Value) -> Result<()> {
    let mut file = AtomicFile::create(folder.join(PLAN), true)?;
    writeln!(file, "{plan:#}").map_err(Error::io(folder.join(PLAN)))?;
    file.commit()
}

/// Fails with the first key that differs.
pub(super) fn compare(folder: &Path, saved: &Value, asked: &Value) -> Result<()> {
    let Some((key, saved, asked)) = difference(saved, asked) else { return Ok(()) };
    let key = key.strip_prefix("plan.").map(str::to_owned).unwrap_or(key);
    let show = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    Err(Error::PlanDiffers { folder: folder.to_owned(), key, saved: show(saved), asked: show(asked) })
}

type Difference<'a> = (String, Option<&'a Value>, Option<&'a Value>);

fn difference<'a>(saved: &'a Value, asked: &'a Value) -> Option<Difference<'a>> {
    let (Value::Object(old), Value::Object(new)) = (saved, asked) else {
        return (saved != asked).then(|| (String::new(), Some(saved), Some(asked)));
    };
    old.keys().chain(new.keys()).find_map(|key| match (old.get(key), new.get(key)) {
        (Some(old), Some(new)) => difference(old, new).map(|(rest, old, new)| {
            let path = if rest.is_empty() { key.clone() } else { format!("{key}.{rest}") };
            (path, old, new)
        }),
        (old, new) => Some((key.clone(), old, new)),
    })
}

fn corrupt(folder: &Path, reason: &str) -> Error {
    Error::Corrupt { folder: folder.to_owned(), reason: reason.to_owned() }
}
