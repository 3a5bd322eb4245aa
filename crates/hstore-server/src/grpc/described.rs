//! What `proto/` describes, for those who look a message up by its name.

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

/// All files of `proto/`.
pub(crate) static DESCRIBED: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(hstore_proto::DESCRIPTORS)
        .expect("the build made it of what it compiled")
});
