//! `elect`: lead an election until Ctrl-C, or follow who leads.

use bytes::Bytes;
use hstore_client::{Error, Session};
use tokio::time::timeout;

use super::hold::{Stop, begin, end, too_late};
use crate::args::Elect;
use crate::failure::Failure;
use crate::render::{self, Data};
use crate::run::Context;

pub(super) async fn run(context: &Context, args: &Elect) -> Result<Data, Failure> {
    let name = context.input.key(&args.name)?;
    let mut stop = Stop::listen()?;
    let Some(value) = &args.value else {
        return tokio::select! {
            ended = observe(context, name, args.count) => ended,
            _ = stop.next() => match args.count {
                // It is how following ends.
                None => Ok(Data::Nothing),
                Some(count) => Err(Failure::Interrupted(format!(
                    "interrupted before {count} proclamations were seen"
                ))),
            },
        };
    };
    let value = context.input.bytes(value)?;
    let session = begin(context, args.ttl, &mut stop).await?;
    let ended = lead(context, name, value, &session, &mut stop).await;
    end(session).await;
    ended
}

async fn lead(
    context: &Context,
    name: Bytes,
    value: Bytes,
    session: &Session,
    stop: &mut Stop,
) -> Result<Data, Failure> {
    let campaign = async {
        match context.timeout {
            None => Ok(session.campaign(name, value).await?),
            // The end of the session takes the candidate out of the line.
            Some(time) => match timeout(time, session.campaign(name, value)).await {
                Ok(won) => Ok(won?),
                Err(_elapsed) => Err(too_late(context, "the election was not won")),
            },
        }
    };
    let leadership = tokio::select! {
        won = campaign => won?,
        _ = stop.next() => {
            let words = "interrupted before the election was won";
            return Err(Failure::Interrupted(words.to_owned()));
        }
    };
    render::now(
        context.view,
        &Data::Held {
            key: leadership.key().clone(),
            token: leadership.token().0,
            lease: session.lease(),
        },
    )?;
    tokio::select! {
        _ = stop.next() => Ok(Data::Nothing),
        () = leadership.lost() => Err(Error::ElectionLost.into()),
    }
}

async fn observe(context: &Context, name: Bytes, count: Option<u64>) -> Result<Data, Failure> {
    // A cluster that is not there is told of; one that goes away later is waited for.
    context.client.leader(name.clone()).await?;
    let mut observation = context.client.observe(name);
    let mut left = count;
    loop {
        let leader = observation.next().await?;
        render::now(context.view, &Data::Leader(leader))?;
        if let Some(left) = &mut left {
            *left -= 1;
            if *left == 0 {
                return Ok(Data::Nothing);
            }
        }
    }
}
