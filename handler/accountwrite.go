// Requests that can change the application's accounts, and what was answered to them.

package handler

import (
	"bytes"
	"context"
	"net/http"

	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// watch makes answer keep the body if the request can change accounts. The
// response must then come uncompressed, so that the application can read it.
func (h *Handler) watch(answer *answerWriter, r *http.Request, path string) {
	if h.config.Application.ChangesAccounts(r.Method, path) {
		answer.kept = new(bytes.Buffer)
		delete(r.Header, "Accept-Encoding")
	}
}

// answered tells the application what it answered to a request that can change
// accounts.
func (h *Handler) answered(ctx context.Context, forwarded application.Forwarded, answer *answerWriter) {
	if answer.kept == nil {
		return
	}
	if h.config.Application.AfterResponse(ctx, forwarded, application.Response{Status: answer.status, Body: answer.kept.Bytes()}) {
		h.config.Gate.AccountsChanged(ctx)
	}
}

// keep appends p to the kept body, up to the limit.
func (w *answerWriter) keep(p []byte) {
	if w.status/100 == 2 {
		_, _ = w.kept.Write(p[:min(len(p), application.ResponseLimit-w.kept.Len())])
	}
}

// keeper keeps what is copied by ReadFrom.
type keeper struct{ *answerWriter }

func (k keeper) Write(p []byte) (int, error) {
	k.keep(p)
	return len(p), nil
}
