// github.com/r3labs/sse/v2
package main

import (
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/r3labs/sse/v2"
)

func main() {
	// The default is 64 KB. A longer line would end the stream at each reconnect.
	client := sse.NewClient(os.Getenv("STREAM_URL"), sse.ClientMaxBufferSize(1<<20))
	client.Headers["Authorization"] = "Bearer " + os.Getenv("TOKEN")
	client.ResponseValidator = func(_ *sse.Client, response *http.Response) error {
		switch response.StatusCode {
		case 200:
			return nil
		case 401, 403:
			log.Fatal("sign in again") // else it tries again
		}
		response.Body.Close()
		return errors.New(response.Status)
	}
	for {
		// Returns at the end of a stream, and after 15 minutes of failures; continues at the last id.
		err := client.SubscribeRaw(func(event *sse.Event) {
			if string(event.Event) == "notification" {
				fmt.Println(string(event.Data))
			}
		})
		log.Print(err)
		time.Sleep(3 * time.Second) // it does not follow `retry`
	}
}
