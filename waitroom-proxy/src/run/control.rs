//! tmp
use std::sync::Arc;
pub(super) async fn serve(
    _m: Arc<super::manager::Manager>,
    _a: std::net::SocketAddr,
    _s: super::Shutdown,
) -> Result<(), std::io::Error> {
    Ok(())
}
