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
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/handler/request"
)

// public examines the site's public address. provider says whether the provider
// answers: without it, a page of the gate redirects to nowhere.
func (e *examination) public(ctx context.Context, s *site, provider bool) {
	if e.in.Running == nil {
		e.skipped("%s from outside: Caddy does not run yet, or its admin API is off", s.origin)
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
	e.fact("%s uses the cookie %s; without a sign-in, it answers %d", s.origin, request.CookieNamesFor(s.origin).Ticket, answer.StatusCode)
	e.front(s, answer)
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

// front looks for a proxy before Caddy: it leaves header fields that the gate's own
// answers do not have.
func (e *examination) front(s *site, answer *http.Response) {
	var seen []string
	for _, name := range []string{"Via", "Cf-Ray", "X-Served-By", "X-Cache", "X-Amz-Cf-Id"} {
		if value := answer.Header.Get(name); value != "" {
			seen = append(seen, name+": "+value)
		}
	}
	if server := answer.Header.Get("Server"); server != "" && !strings.EqualFold(server, "Caddy") {
		seen = append(seen, "Server: "+server)
	}
	if len(seen) == 0 {
		e.fact("%s is answered without a proxy in between, as seen from here", s.origin)
		return
	}
	e.fact("a proxy is before %s: %s", s.origin, strings.Join(seen, ", "))
	if !s.trusted {
		e.add("site_proxy", Finding{
			Site: s.name, Seen: "a proxy in front (" + strings.Join(seen, ", ") + "), and no trusted_proxies", Expected: "trusted_proxies with its addresses", Line: "the global options of Caddy",
			Write: "servers {\n\ttrusted_proxies static private_ranges\n\ttrusted_proxies_strict\n}",
		})
	}
}

// slow is how long the storage may take: every sign-in waits for it several times.
const slow = time.Second

// tested is the version of Caddy that the module was tested with.
var tested = []int{2, 11, 9}

// running reports what the running Caddy says of itself.
func (e *examination) running() {
	if version, ok := parseVersion(e.in.Version); ok && slices.Compare(version, tested) < 0 {
		e.add("caddy_version", Finding{Seen: "Caddy " + e.in.Version, Expected: "v2.11.9 or later"})
	}
	if e.in.Version != "" {
		e.fact("Caddy %s, with these modules that are not its own: %s", e.in.Version, strings.Join(e.in.Modules, ", "))
	}
	if e.in.Running == nil {
		return
	}
	for _, state := range e.in.Running.Gates {
		e.fact("%s: romm_oidc %s at %s", state.Origin, state.Version, strings.Join(state.Nodes, ", "))
		if state.StorageError == "" {
			e.fact("%s: the storage was locked, written and deleted in %s", state.Origin, state.StorageTook.Round(time.Millisecond))
		}
		switch {
		case strings.Contains(state.StorageError, "locking storage"):
			e.add("caddy_storage_lock", Finding{Site: state.Origin, Seen: state.StorageError, Expected: "a lock"})
			state.StorageError = ""
		case state.StorageTook > slow:
			e.add("caddy_storage_slow", Finding{Site: state.Origin, Seen: "the storage took " + state.StorageTook.Round(time.Millisecond).String(), Expected: "less than a second"})
		}
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
