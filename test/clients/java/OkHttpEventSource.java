// com.launchdarkly:okhttp-eventsource 4
import com.launchdarkly.eventsource.ConnectStrategy;
import com.launchdarkly.eventsource.ErrorStrategy;
import com.launchdarkly.eventsource.EventSource;
import com.launchdarkly.eventsource.FaultEvent;
import com.launchdarkly.eventsource.MessageEvent;
import com.launchdarkly.eventsource.StreamHttpErrorException;
import java.net.URI;
import java.util.concurrent.TimeUnit;

public class OkHttpEventSource {
  public static void main(String[] args) throws Exception {
    var connect = ConnectStrategy.http(URI.create(System.getenv("STREAM_URL")))
        .header("Authorization", "Bearer " + System.getenv("TOKEN"))
        .readTimeout(1, TimeUnit.MINUTES); // longer than two heartbeats; 5 minutes unless set
    // Otherwise the end of a stream is an exception.
    try (var stream = new EventSource.Builder(connect).errorStrategy(ErrorStrategy.alwaysContinue()).build()) {
      for (var event : stream.anyEvents()) {
        if (event instanceof MessageEvent message && message.getEventName().equals("notification"))
          System.out.println(message.getData());
        if (event instanceof FaultEvent fault
            && fault.getCause() instanceof StreamHttpErrorException err
            && (err.getCode() == 401 || err.getCode() == 403))
          throw err; // sign in again
      }
    }
  }
}
