// github.com/r3labs/sse/v2
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/r3labs/sse/v2"
)

func main() {
	// A longer line ends the stream again and again; 64 KB unless set.
	client := sse.NewClient(os.Getenv("STREAM_URL"), sse.ClientMaxBufferSize(1<<20))
	client.Headers["Authorization"] = "Bearer " + os.Getenv("TOKEN")
	for {
		// Returns at the end of a stream, and after 15 minutes of failures; goes on at the last id. It tries again after 401, too.
		err := client.SubscribeRaw(func(event *sse.Event) {
			if string(event.Event) == "notification" {
				fmt.Println(string(event.Data))
			}
		})
		fmt.Fprintln(os.Stderr, err)
		time.Sleep(3 * time.Second)
	}
}
