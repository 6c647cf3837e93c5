//! `ClientHello`s of real clients: captured, cut into crumbs, made longer.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener};

use ravelin_daemon::transport::tls::hello::{Unparsed, parse};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;

use crate::backend::Backend;

/// The hello that `connect` sends to the address it is given. It is not answered.
#[track_caller]
#[must_use]
pub fn captured(connect: impl FnOnce(SocketAddr) + Send + 'static) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let to = listener.local_addr().expect("an address");
    let connecting = std::thread::spawn(move || connect(to));
    let (mut stream, _) = listener.accept().expect("a client");
    let mut hello = Vec::new();
    while let Err(Unparsed::Incomplete(wanted)) = parse(&hello) {
        let from = hello.len();
        hello.resize(wanted, 0);
        stream.read_exact(&mut hello[from..]).expect("a whole hello");
    }
    drop((stream, listener));
    connecting.join().expect("the client ends");
    hello
}

/// The same message in records of `size` bytes, the last of what is left.
#[must_use]
pub fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    records(&message(hello), size)
}

/// The same hello with a padding extension (RFC 7685) that makes its message `length` bytes long.
#[must_use]
pub fn padded(hello: &[u8], length: usize) -> Vec<u8> {
    let mut message = message(hello);
    let before = message.len();
    let padding = length - before - 4;
    message.extend([0, 21]);
    message.extend(u16::try_from(padding).expect("an extension").to_be_bytes());
    message.resize(length, 0);
    // Message header, version, random; session, suites and compressions with their lengths; then the length of the extensions.
    let session = 4 + 2 + 32;
    let suites = session + 1 + usize::from(message[session]);
    let compressions = suites + 2 + usize::from(u16::from_be_bytes([message[suites], message[suites + 1]]));
    let extensions = compressions + 1 + usize::from(message[compressions]);
    let their_length = u16::try_from(length - extensions - 2).expect("extensions");
    message[extensions..extensions + 2].copy_from_slice(&their_length.to_be_bytes());
    let body = u32::try_from(length - 4).expect("a message").to_be_bytes();
    message[1..4].copy_from_slice(&body[1..]);
    records(&message, 1 << 14)
}

/// A network that hands every hello on to `to` in records of `record` bytes, and in segments of `segment` bytes.
#[must_use]
pub fn shredder(to: SocketAddr, record: usize, segment: usize) -> Backend {
    Backend::new(move |client| shred(client, to, record, segment))
}

async fn shred(mut client: TcpStream, to: SocketAddr, record: usize, segment: usize) -> io::Result<()> {
    let mut hello = Vec::new();
    while let Err(Unparsed::Incomplete(_)) = parse(&hello) {
        if client.read_buf(&mut hello).await? == 0 {
            return Ok(());
        }
    }
    let mut server = TcpStream::connect(to).await?;
    server.set_nodelay(true)?;
    for segment in in_records(&hello, record).chunks(segment) {
        server.write_all(segment).await?;
        // Else a busy reader finds many of them at once.
        tokio::task::yield_now().await;
    }
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |fragment: &[u8]| {
        let length = u16::try_from(fragment.len()).expect("a record").to_be_bytes();
        [&[22, 3, 1][..], &length, fragment].concat()
    };
    message.chunks(size).flat_map(record).collect()
}

/// What the records carry.
fn message(mut records: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = records {
        let (fragment, next) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        message.extend(fragment);
        records = next;
    }
    message
}
