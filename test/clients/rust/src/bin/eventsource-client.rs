// eventsource-client 0.18
use std::{env, time::Duration};

use eventsource_client::{Client, ClientBuilder, Error, ReconnectOptions, SSE};
use futures_util::TryStreamExt;
use launchdarkly_sdk_transport::HyperTransport;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let transport = HyperTransport::builder()
        .read_timeout(Duration::from_secs(60)) // longer than two heartbeats; never unless set
        .build_http()?; // build_https, with one of the crate's features
    let client = ClientBuilder::for_url(&env::var("STREAM_URL")?)?
        .header("Authorization", &format!("Bearer {}", env::var("TOKEN")?))?
        .reconnect(ReconnectOptions::reconnect(true).retry_initial(true).delay_max(Duration::from_secs(30)).build())
        .build_with_transport(transport);
    let mut stream = client.stream();
    loop {
        match stream.try_next().await {
            Ok(Some(SSE::Event(event))) if event.event_type == "notification" => println!("{}", event.data),
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(Error::UnexpectedResponse(response, _)) if matches!(response.status(), 401 | 403) => {
                return Err("sign in again".into());
            }
            Err(_) => {} // it reconnects when it is asked for the next event
        }
    }
}
