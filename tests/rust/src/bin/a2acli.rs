//! The command line of A2A, as its own `main` is, without TLS.

#[tokio::main]
async fn main() {
    if let Err(error) = a2acli::run_args(std::env::args_os()).await {
        error.report();
        std::process::exit(error.exit_code());
    }
}
