//! Reading a large range a page at a time, all as of one revision.

use hstore_core::outcome::Refusal;
use hstore_storage::store::{Page, PageRequest};
use tokio::time::Instant;

use crate::error::NodeError;
use crate::node::Node;
use crate::status::{Consistency, Header};

impl Node {
    /// Reads a page. The next one goes on behind its last key, as of its revision.
    pub async fn page(
        &self,
        request: PageRequest,
        consistency: Consistency,
        deadline: Instant,
    ) -> Result<(Header, Result<Page, Refusal>), NodeError> {
        self.ready(consistency, deadline).await?;
        let read = self.read_on_lane(deadline, move |store| store.page(&request));
        let (revision, page) = read.await?;
        self.check_alive()?;
        Ok((self.header(revision), page))
    }
}
