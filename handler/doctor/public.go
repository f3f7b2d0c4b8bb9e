// The site as a browser reaches it, and what the running Caddy says of itself.

package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// public examines the site's public address. provider says whether the provider
// answers: without it, a page of the gate redirects to nowhere.
func (e *examination) public(ctx context.Context, s *site, provider bool) {
	if e.in.Running == nil {
		e.skipped("%s from outside: Caddy does not run yet", s.origin)
		return
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.origin.String()+request.Base+"/session", http.NoBody)
	if err != nil {
		return // the redirect URI has been checked
	}
	r.Header.Set("Accept", "application/json")
	host := url.URL{Host: s.origin.Host}
	if _, err := e.in.Lookup(ctx, host.Hostname()); err != nil {
		e.add("site_unreachable", Finding{Site: s.name, Seen: err.Error(), Expected: "an address of " + host.Hostname()})
		return
	}
	answer, body, err := send(e.plain, r) //nolint:bodyclose // send closed it
	untrusted, bad := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case bad:
		e.add("site_certificate", Finding{Site: s.name, Seen: untrusted.Err.Error(), Expected: "a certificate that this machine trusts"})
		return
	case err != nil:
		e.add("site_unreachable", Finding{Site: s.name, Seen: err.Error(), Expected: "an answer"})
		return
	}
	ours := strings.Contains(string(body), `"reference"`)
	switch {
	case answer.StatusCode == http.StatusMisdirectedRequest && ours:
		e.add("site_host_changed", Finding{Site: s.name, Seen: "the gate answers 421 to its own public address", Expected: s.origin.String() + " as the browser sent it"})
	case !ours:
		e.add("site_not_gate", Finding{Site: s.name, Seen: s.origin.String() + request.Base + "/session answered " + answer.Status + " without the gate's code", Expected: "the gate"})
	case provider:
		e.checked("%s from outside", s.origin)
	}
	if ours {
		e.publishedKeys(ctx, s)
	}
}

// tested is the version of Caddy that the module was tested with.
var tested = []int{2, 11, 9}

// running reports what the running Caddy says of itself.
func (e *examination) running() {
	if version, ok := parseVersion(e.in.Version); ok && slices.Compare(version, tested) < 0 {
		e.add("caddy_version", Finding{Seen: "Caddy " + e.in.Version, Expected: "v2.11.9 or later"})
	}
	if e.in.Running == nil {
		return
	}
	for _, state := range e.in.Running.Gates {
		for code, text := range map[string]string{
			"caddy_storage": state.StorageError, "caddy_keys": state.KeysError, "caddy_provider": state.ProviderError, "caddy_background": state.Background,
		} {
			if text != "" {
				e.add(code, Finding{Site: state.Origin, Seen: text, Expected: "no error"})
			}
		}
	}
	e.checked("the running Caddy: storage, keys, provider, background work")
}
