// github.com/tmaxmax/go-sse
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/tmaxmax/go-sse"
)

func main() {
	request, err := http.NewRequest(http.MethodGet, os.Getenv("STREAM_URL"), nil)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("TOKEN"))
	client := sse.Client{
		Backoff: sse.Backoff{MaxInterval: 30 * time.Second}, // no upper bound unless set
		ResponseValidator: func(response *http.Response) error {
			if response.StatusCode == 401 || response.StatusCode == 403 {
				log.Fatal("sign in again")
			}
			return sse.DefaultValidator(response)
		},
	}
	stream := client.NewConnection(request)
	stream.Buffer(nil, 1<<20) // 64 KB a line unless set
	stream.SubscribeEvent("notification", func(event sse.Event) {
		fmt.Println(event.Data)
	})
	for {
		// Returns after any status other than 200; continues at the last id.
		log.Print(stream.Connect())
		time.Sleep(3 * time.Second)
	}
}
