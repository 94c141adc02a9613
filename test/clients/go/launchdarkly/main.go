// github.com/launchdarkly/eventsource
package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/launchdarkly/eventsource"
)

func main() {
	request, err := http.NewRequest(http.MethodGet, os.Getenv("STREAM_URL"), nil)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("TOKEN"))
	stream, err := eventsource.SubscribeWithRequestAndOptions(request,
		eventsource.StreamOptionReadTimeout(time.Minute), // longer than two heartbeats; never unless set
		eventsource.StreamOptionUseBackoff(30*time.Second),
		eventsource.StreamOptionUseJitter(0.5),
		eventsource.StreamOptionCanRetryFirstConnection(-1),
		eventsource.StreamOptionErrorHandler(func(err error) eventsource.StreamErrorHandlerResult {
			var refused eventsource.SubscriptionError
			isSignedOut := errors.As(err, &refused) && (refused.Code == 401 || refused.Code == 403)
			return eventsource.StreamErrorHandlerResult{CloseNow: isSignedOut}
		}),
	)
	if err != nil {
		panic(err) // sign in again
	}
	for event := range stream.Events {
		if event.Event() == "notification" {
			fmt.Println(event.Data())
		}
	}
}
