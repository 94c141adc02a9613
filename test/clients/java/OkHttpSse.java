// com.squareup.okhttp3:okhttp-sse 5
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.sse.EventSource;
import okhttp3.sse.EventSourceListener;
import okhttp3.sse.EventSources;

public class OkHttpSse {
  static String cursor = "";

  public static void main(String[] args) throws Exception {
    // Longer than two heartbeats; the default is 10 s.
    var client = new OkHttpClient.Builder().readTimeout(Duration.ofMinutes(1)).build();
    while (true) { // it opens one stream and does not reconnect
      var request = new Request.Builder()
          .url(System.getenv("STREAM_URL"))
          .header("Authorization", "Bearer " + System.getenv("TOKEN"));
      if (!cursor.isEmpty()) request.header("Last-Event-ID", cursor);
      var ended = new CompletableFuture<Integer>();
      EventSources.createFactory(client).newEventSource(request.build(), new EventSourceListener() {
        @Override
        public void onEvent(EventSource stream, String id, String type, String data) {
          if (id != null) cursor = id;
          if ("notification".equals(type)) System.out.println(data);
        }

        @Override
        public void onClosed(EventSource stream) {
          ended.complete(200);
        }

        @Override
        public void onFailure(EventSource stream, Throwable err, Response response) {
          ended.complete(response == null ? 0 : response.code());
        }
      });
      int status = ended.get();
      if (status == 401 || status == 403) throw new Exception("sign in again");
      Thread.sleep((long) (2000 + Math.random() * 3000)); // it does not tell what `retry` says
    }
  }
}
