// The view: what a handler makes of a session's record, once.

package handler

import (
	"sync/atomic"

	"github.com/romm-oidc/caddy-romm-oidc/flow/session"
)

// view is what a handler makes of a record: the identity in the forms in which it
// goes upstream and to the server, and what the rules say about it. It holds until
// either changes.
type view struct {
	record  *session.Record
	handler *Handler
	values  func(placeholder string) (any, bool)
	line    atomic.Pointer[cookieLine]     // the last one; nil: none
	fields  atomic.Pointer[identityFields] // nil while none were needed
	verdict verdict
}

// viewOf returns the view of record. The ID is zero for an access token.
func (v *sessionRuntime) viewOf(h *Handler, record *session.Record, id session.ID) *view {
	known := v.view.Load()
	if known == nil || known.record != record || known.handler != h {
		known = &view{record: record, handler: h, values: placeholders(&record.Identity, id), verdict: h.judge(record)}
		v.view.Store(known)
	}
	return known
}

// verdict is what the rules of a handler say about a record.
type verdict struct {
	refused    error // a Problem; nil: the user may use the site
	lacksScope bool  // the rules cannot be applied before the user passed through the provider
	role       bool  // the user is to have another role in the application than they signed in with
}
