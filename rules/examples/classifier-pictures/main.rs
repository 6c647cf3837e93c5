//! Writes the pictures of `docs/classifier.md` into the folder that is given.

mod pictures;

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let folder = env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or_else(|| io::Error::other("usage: classifier-pictures FOLDER"))?;
    fs::create_dir_all(&folder)?;
    for (name, text) in pictures::all().map_err(io::Error::other)? {
        fs::write(folder.join(name), text)?;
    }
    Ok(())
}
