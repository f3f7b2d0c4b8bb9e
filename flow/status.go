package flow

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
)

// statusClient is client, to which every answer but a 200 is an error: the
// body of one is quoted nowhere.
func statusClient(client *http.Client) *http.Client {
	strict := *client
	strict.Transport = statusTransport{client.Transport}
	return &strict
}

// statusError is an answer that is no 200, or none at all.
type statusError struct {
	status int   // 0: there was no answer
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

// unavailable tells an endpoint that cannot be asked now, by an error of a
// status client, from one that refuses or answers nonsense.
func unavailable(err error) bool {
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.status == 0 || e.status >= http.StatusInternalServerError || e.status == http.StatusTooManyRequests
	}
	_, network := errors.AsType[net.Error](err) // while the body came
	return network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled)
}
