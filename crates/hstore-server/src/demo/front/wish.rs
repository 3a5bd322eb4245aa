//! What the panel asks for: an act, or a story.

use std::time::Duration;

use hstore_core::error::ErrorCode;
use http_body_util::{BodyExt as _, Limited};
use hyper::Request;
use hyper::body::Incoming;
use serde::Deserialize;
use tokio::time::timeout;

use crate::demo::act::Act;
use crate::web::Problem;

/// The longest body.
const BYTES_MAX: usize = 4096;
/// How long a body may take to come.
const BODY: Duration = Duration::from_secs(10);

/// A wish.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Something is done to the cluster.
    Act(Act),
    /// The story that is told ends here.
    StopTelling,
    /// A story is told.
    Tell { story: String },
}

/// The wishes that are no acts.
#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
enum Other {
    StopTelling,
    Tell { story: String },
}

impl Wish {
    /// Reads a wish from the body of a request.
    pub(super) async fn read(request: Request<Incoming>) -> Result<Wish, Problem> {
        let body = Limited::new(request.into_body(), BYTES_MAX).collect();
        let invalid = |what: String| Problem::new(ErrorCode::InvalidArgument, what);
        let body = match timeout(BODY, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) => return Err(invalid(format!("the body cannot be read: {error}"))),
            Err(_elapsed) => {
                let what = "the body did not come in time";
                return Err(Problem::new(ErrorCode::Timeout, what));
            }
        };
        Wish::parse(&body).map_err(invalid)
    }

    fn parse(body: &[u8]) -> Result<Wish, String> {
        match serde_json::from_slice::<Other>(body) {
            Ok(Other::StopTelling) => return Ok(Wish::StopTelling),
            Ok(Other::Tell { story }) => return Ok(Wish::Tell { story }),
            Err(_an_act_perhaps) => {}
        }
        match serde_json::from_slice::<Act>(body) {
            Ok(act) => Ok(Wish::Act(act)),
            Err(error) => Err(format!(
                "the body asks for nothing that can be done: {error}"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_an_act_or_a_story_and_nothing_else() {
        let parse = |text: &str| Wish::parse(text.as_bytes());
        let story = "slow-disk".to_owned();
        assert_eq!(
            parse(r#"{"action":"tell","story":"slow-disk"}"#),
            Ok(Wish::Tell { story })
        );
        assert_eq!(parse(r#"{"action":"stop-telling"}"#), Ok(Wish::StopTelling));
        assert_eq!(parse(r#"{"action":"heal"}"#), Ok(Wish::Act(Act::Heal)));
        for text in ["", "[]", r#"{"action":"tell"}"#, r#"{"action":"no"}"#] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
