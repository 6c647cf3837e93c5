//! The `ClientHello` of a real client, as bytes to do things with.

use ravelin_tests::client::Client;
use ravelin_tests::pki::Authority;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use super::NAME;

/// The `ClientHello` a real client sends.
pub(super) async fn hello(authority: &Authority) -> Vec<u8> {
    hello_of(Client::new(authority)).await
}

/// The `ClientHello` that `client` sends.
pub(super) async fn hello_of(client: Client) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let to = listener.local_addr().expect("an address");
    let connecting = tokio::spawn(async move { client.connect(to, NAME).await.map(drop) });
    let (mut stream, _) = listener.accept().await.expect("accept");
    let mut hello = vec![0; 5];
    stream.read_exact(&mut hello).await.expect("a record");
    let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
    hello.resize(5 + length, 0);
    stream.read_exact(&mut hello[5..]).await.expect("a hello");
    connecting.abort();
    hello
}

/// The hello with a padding extension (RFC 7685) that makes its message `total` bytes long, in as many records as that takes.
pub(super) fn padded(hello: &[u8], total: usize) -> Vec<u8> {
    let mut message = hello[RECORD_HEADER..].to_vec();
    let padding = total - message.len() - EXTENSION_HEADER;
    // Session identifier, cipher suites and compression methods come first, each with its length.
    let mut place = MESSAGE_HEADER + 2 + 32;
    place += 1 + usize::from(message[place]);
    place += 2 + usize::from(u16::from_be_bytes([message[place], message[place + 1]]));
    place += 1 + usize::from(message[place]);
    let extensions = message.len() - place - 2 + EXTENSION_HEADER + padding;
    message[place..place + 2].copy_from_slice(&length(extensions));
    message.splice(
        place + 2..place + 2,
        [&[0, 21][..], &length(padding), &vec![0; padding]].concat(),
    );
    let body = (message.len() - MESSAGE_HEADER).to_be_bytes();
    message[1..MESSAGE_HEADER].copy_from_slice(&body[body.len() - 3..]);
    records(&message, 1 << 14)
}

/// A handshake message in records of at most `size` bytes.
pub(super) fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[22, 3, 1][..], &length(part.len()), part].concat();
    message.chunks(size).flat_map(record).collect()
}

/// A length field of two bytes.
pub(super) fn length(bytes: usize) -> [u8; 2] {
    u16::try_from(bytes).expect("it fits").to_be_bytes()
}

pub(super) const RECORD_HEADER: usize = 5;
const MESSAGE_HEADER: usize = 4;
const EXTENSION_HEADER: usize = 4;
