//! The server behind the edge: one page that says who asks, as the PROXY protocol header told it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Answers every connection on threads of its own, until the process ends.
pub(crate) fn serve(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client may hang up at any time: that is its business.
            thread::spawn(move || drop(answer(stream)));
        }
    });
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let client = proxied(&mut reader)?;
    for line in reader.lines() {
        if line?.is_empty() {
            break;
        }
    }
    let page = format!("hello from the backend; you are {client}\n");
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{page}",
        page.len()
    )
}

/// The client's address in a PROXY header of version 2.
fn proxied(reader: &mut impl Read) -> io::Result<IpAddr> {
    let mut start = [0; 16];
    reader.read_exact(&mut start)?;
    if start[..12] != *b"\r\n\r\n\0\r\nQUIT\n" || start[12] != 0x21 {
        return Err(io::Error::other("no PROXY header"));
    }
    let mut rest = vec![0; usize::from(u16::from_be_bytes([start[14], start[15]]))];
    reader.read_exact(&mut rest)?;
    match (start[13], &*rest) {
        (0x11, [a, b, c, d, ..]) => Ok(Ipv4Addr::new(*a, *b, *c, *d).into()),
        (0x21, rest) => rest
            .first_chunk::<16>()
            .map(|address| Ipv6Addr::from(*address).into())
            .ok_or_else(|| io::Error::other("a PROXY header cut short")),
        _ => Err(io::Error::other("a PROXY header without an address")),
    }
}
