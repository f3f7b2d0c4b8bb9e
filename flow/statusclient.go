// An HTTP client for which every response but a 200 is an error.

package flow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
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
	status  int   // 0 if there was no response
	cause   error // why there was none
	foreign bool  // it denies access, and something in front of the endpoint made it
}

func (e *statusError) Error() string {
	if e.cause != nil {
		return e.cause.Error()
	}
	if e.foreign {
		return fmt.Sprintf("something in front of it answered %d", e.status)
	}
	return fmt.Sprintf("it answered %d", e.status)
}

func (e *statusError) Unwrap() error { return e.cause }

type statusTransport struct{ base http.RoundTripper }

func (t statusTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.base.RoundTrip(r)
	if err != nil {
		return nil, &statusError{cause: err}
	}
	if answer.StatusCode != http.StatusOK {
		defer func() { _ = answer.Body.Close() }()
		return nil, &statusError{status: answer.StatusCode, foreign: isForeign(answer)}
	}
	return answer, nil
}

// isForeign reports whether a response that denies access is the page of a
// firewall or a proxy. The endpoint itself answers with a challenge
// (https://datatracker.ietf.org/doc/html/rfc6750#section-3), with JSON, or with
// nothing.
func isForeign(answer *http.Response) bool {
	if answer.StatusCode != http.StatusUnauthorized && answer.StatusCode != http.StatusForbidden {
		return false
	}
	for _, challenge := range answer.Header["Www-Authenticate"] {
		if scheme := strings.ToLower(challenge); strings.Contains(scheme, "bearer") || strings.Contains(scheme, "dpop") {
			return false
		}
	}
	begin := make([]byte, 64)
	n, _ := io.ReadFull(answer.Body, begin) // a body that breaks is as good as its beginning
	begin = bytes.TrimSpace(bytes.TrimPrefix(begin[:n], []byte("\ufeff")))
	return len(begin) > 0 && begin[0] != '{'
}

// isUnavailable reports whether an error from a statusClient means that the
// endpoint cannot be asked now, rather than that it refused or that its
// response makes no sense.
func isUnavailable(err error) bool {
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.status == 0 || e.status >= http.StatusInternalServerError || e.status == http.StatusTooManyRequests || e.foreign
	}
	_, network := errors.AsType[net.Error](err) // while reading the body
	return network || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled)
}
