// What a request and the response's header were before the chain ran.

package handler

import (
	"context"
	"maps"
	"net/http"
)

// before is the state of a request and of its response's header before the
// chain ran, so that neither a mute response nor the chain's rewrites leave a
// trace. Caddy itself sets two header fields that early, hardened sites set more.
type before struct {
	names  [2]string
	values [2][]string
	n      uint8
	all    http.Header // in place of names and values if those are too few

	path, rawPath, query string // of the request's URL
}

func (b *before) remember(w http.ResponseWriter, r *http.Request) {
	b.path, b.rawPath, b.query = r.URL.Path, r.URL.RawPath, r.URL.RawQuery
	header := w.Header()
	if len(header) > len(b.names) {
		b.all = maps.Clone(header)
		return
	}
	for name, values := range header {
		b.names[b.n], b.values[b.n] = name, values
		b.n++
	}
}

// restore puts header back.
func (b *before) restore(header http.Header) {
	clear(header)
	maps.Copy(header, b.all)
	for i := range b.n {
		header[b.names[i]] = b.values[i]
	}
}

// request returns a copy of r with the URL that it had, and with ctx.
func (b *before) request(ctx context.Context, r *http.Request) *http.Request {
	again := r.Clone(ctx)
	again.URL.Path, again.URL.RawPath, again.URL.RawQuery = b.path, b.rawPath, b.query
	return again
}
