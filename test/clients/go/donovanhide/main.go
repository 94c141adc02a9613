// github.com/donovanhide/eventsource
package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/donovanhide/eventsource"
)

func main() {
	request, err := http.NewRequest(http.MethodGet, os.Getenv("STREAM_URL"), nil)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("TOKEN"))
	stream, err := eventsource.SubscribeWithRequest("", request)
	for err != nil { // only for the first connection: it makes the others itself
		time.Sleep(3 * time.Second)
		stream, err = eventsource.SubscribeWithRequest("", request)
	}
	for {
		select { // it stands still until both are read
		case event := <-stream.Events:
			if event.Event() == "notification" {
				fmt.Println(event.Data())
			}
		case err := <-stream.Errors:
			var refused eventsource.SubscriptionError
			if errors.As(err, &refused) && (refused.Code == 401 || refused.Code == 403) {
				panic(err) // sign in again
			}
		}
	}
}
