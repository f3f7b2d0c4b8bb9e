// What a request and the response's header were before the chain ran.

package handler

import (
	"maps"
	"net/http"
	"net/url"
)

// before is the state of a request and of its response's header before the
// chain ran, so that neither a mute response nor the chain's rewrites leave a
// trace. Few header fields are set that early, except on hardened sites.
type before struct {
	names  [4]string
	values [4][]string
	n      int
	all    http.Header // in place of names and values if those are too few

	target     url.URL
	requestURI string
}

func (b *before) remember(w http.ResponseWriter, r *http.Request) {
	b.target, b.requestURI = *r.URL, r.RequestURI
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

// request returns a copy of r with the URL that it had.
func (b *before) request(r *http.Request) *http.Request {
	again := r.Clone(r.Context())
	again.URL, again.RequestURI = &b.target, b.requestURI
	return again
}
