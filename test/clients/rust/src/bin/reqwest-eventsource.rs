// reqwest-eventsource 0.6
use std::{env, time::Duration};

use futures_util::StreamExt;
use reqwest_eventsource::{Error, Event, RequestBuilderExt, retry::ExponentialBackoff};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let client = reqwest::Client::builder()
        .read_timeout(Duration::from_secs(60)) // longer than two heartbeats; never unless set
        .build()?;
    let (url, token) = (env::var("STREAM_URL")?, env::var("TOKEN")?);
    let mut cursor = String::new();
    loop {
        // In the URL, because the header would be sent twice when it reconnects itself.
        let url = format!("{url}?lastEventId={cursor}");
        let mut stream = client.get(url).bearer_auth(&token).eventsource()?;
        stream.set_retry_policy(Box::new(ExponentialBackoff::new(
            Duration::from_secs(2),
            1.5,
            Some(Duration::from_secs(30)),
            None,
        )));
        while let Some(event) = stream.next().await {
            match event {
                Ok(Event::Message(message)) => {
                    if message.event == "notification" {
                        println!("{}", message.data);
                    }
                    if !message.id.is_empty() {
                        cursor = message.id;
                    }
                }
                Err(Error::InvalidStatusCode(status, _)) if matches!(status.as_u16(), 401 | 403) => {
                    return Err("sign in again".into());
                }
                _ => {} // it reconnects itself, except after a status other than 200
            }
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}
