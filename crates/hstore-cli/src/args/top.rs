//! The grammar of `top`.

use clap::Args;

pub(crate) const AFTER_TOP_HELP: &str = "Keys: q leaves, up and down choose a node, left and right choose what the nodes \
    are sorted by, r reverses the order, ? shows this.";

/// `top`.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Top {
    /// Write one picture as text, and end
    #[arg(long)]
    pub(crate) once: bool,
}
