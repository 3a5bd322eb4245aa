//! `nodes` and `status`: how the cluster is doing.

use crate::failure::Failure;
use crate::render::Data;
use crate::run::Context;

pub(super) async fn list(context: &Context) -> Result<Data, Failure> {
    Ok(Data::Nodes(context.client.describe().await?))
}

pub(super) async fn status(context: &Context) -> Result<Data, Failure> {
    let (node, address) = context.client.status().await?;
    // The node has answered; what it cannot say of the others is no failure of the command.
    let cluster = context.client.describe().await.ok();
    Ok(Data::Status {
        node: Box::new(node),
        address: address.to_string(),
        cluster,
    })
}
