//! The server behind every proxy: answers a question with as many bytes as it asks for, as often as it is asked.
//!
//! A question is eight bytes, two numbers: how many bytes follow it, and how many are wanted back.

use std::net::SocketAddr;
use std::thread;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

use ravelin_benches::processor;

/// Serves on a free port of loopback, on a thread of its own, until the bench ends.
pub(crate) fn start() -> SocketAddr {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let listener = runtime
        .block_on(TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        processor::pin_self(0);
        runtime.block_on(async {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that hangs up is the end of it.
                tokio::spawn(async { drop(serve(stream).await) });
            }
        });
    });
    address
}

async fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        let (mut follows, mut wanted) = (
            stream.read_u32().await? as usize,
            stream.read_u32().await? as usize,
        );
        while follows > 0 {
            let most = follows.min(buffer.len());
            follows -= stream.read_exact(&mut buffer[..most]).await?;
        }
        while wanted > 0 {
            let most = wanted.min(buffer.len());
            stream.write_all(&buffer[..most]).await?;
            wanted -= most;
        }
    }
}
