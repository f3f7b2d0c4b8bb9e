// An HTTP client for which every response but a 200 is an error.

package flow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// statusClient returns a client like client that turns every response but a 200
// into an error, so that no error quotes its body.
func statusClient(client *http.Client) *http.Client {
	strict := *client
	strict.Transport = statusTransport{client.Transport}
	return &strict
}

// statusError is a response other than a 200, or a missing one.
type statusError struct {
	status int   // 0 if there was no response
	cause  error // why there was none
}

func (e *statusError) Error() string {
	if e.cause != nil {
		return e.cause.Error()
	}
	return fmt.Sprintf("it answered %d", e.status)
}

func (e *statusError) Unwrap() error { return e.cause }

type statusTransport struct{ base http.RoundTripper }

func (t statusTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	base := t.base
	if base == nil {
		base = http.DefaultTransport
	}
	answer, err := base.RoundTrip(r)
	if err != nil {
		return nil, &statusError{cause: err}
	}
	if answer.StatusCode != http.StatusOK {
		_ = answer.Body.Close()
		return nil, &statusError{status: answer.StatusCode}
	}
	return answer, nil
}

// isUnavailable reports whether an error from a statusClient means that the
// endpoint cannot be asked now, rather than that it refused or that its
// response makes no sense.
func isUnavailable(err error) bool {
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.status == 0 || e.status >= http.StatusInternalServerError || e.status == http.StatusTooManyRequests
	}
	_, network := errors.AsType[net.Error](err) // while reading the body
	return network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled)
}
