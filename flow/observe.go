// What is observed of the provider: how long each of its endpoints takes, and
// whether it answers.

package flow

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/flow/span"
)

// The spans of requests to the provider.
const (
	SpanMetadata      span.Name = "provider metadata"
	SpanKeys          span.Name = "provider keys"
	SpanToken         span.Name = "provider token"
	SpanUserinfo      span.Name = "provider userinfo"
	SpanIntrospection span.Name = "provider introspection"
	SpanRevocation    span.Name = "provider revocation"
)

// spanOf returns the span of a request to u.
func (rp *RelyingParty) spanOf(u *url.URL) span.Name {
	rp.mu.Lock()
	md := rp.known
	rp.mu.Unlock()
	if md != nil {
		switch u.String() {
		case md.tokenEndpoint:
			return SpanToken
		case md.userinfoEndpoint:
			return SpanUserinfo
		case md.introspectionEndpoint:
			return SpanIntrospection
		case md.revocationEndpoint:
			return SpanRevocation
		}
	}
	if strings.HasSuffix(u.Path, "/.well-known/openid-configuration") {
		return SpanMetadata
	}
	return SpanKeys // there are no other requests
}

// noteAnswer notes whether the provider answered. A request that its caller gave
// up says nothing about the provider.
func (rp *RelyingParty) noteAnswer(r *http.Request, answer *http.Response, err error) {
	switch {
	case err != nil && !errors.Is(r.Context().Err(), context.Canceled):
		rp.away.Store(true)
	case err == nil:
		rp.away.Store(answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests)
	}
}

// Away reports whether the provider did not answer the last request.
func (rp *RelyingParty) Away() bool { return rp.away.Load() }
