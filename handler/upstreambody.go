package handler

import (
	"context"
	"errors"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
	"io"
	"net/http"
	"sync/atomic"
)

// requestBody notes that a client's body could not be read: then the request
// failed by the client, and says nothing of the application.
type requestBody struct {
	io.ReadCloser
	broken atomic.Bool
}

func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.broken.Store(true)
	}
	return n, err //nolint:wrapcheck // a reader passes its own errors on
}

// serve passes r to chain, and notes if the application could not be reached:
// reverse_proxy says so with an error, not with an answer.
func (h *Handler) serve(chain application.Chain, w http.ResponseWriter, r *http.Request) error {
	var body *requestBody
	if r.Body != nil && r.Body != http.NoBody {
		body = &requestBody{ReadCloser: r.Body}
		r.Body = body
	}
	err := chain.Serve(w, r)
	if err != nil && !errors.Is(err, context.Canceled) && (body == nil || !body.broken.Load()) {
		h.applicationFailed()
	}
	return err //nolint:wrapcheck // the chain's own
}
