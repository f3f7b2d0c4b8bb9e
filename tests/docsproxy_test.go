// docs/site.md: the site behind a proxy that terminates TLS.

package tests

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
	"github.com/romm-oidc/caddy-romm-oidc/tests/romm"
)

// The page's Caddyfile answers a proxy that sends what the page asks for. RomM hears
// of the client that the proxy names, and not of the one that the client names.
func TestDocumentedProxy(t *testing.T) {
	const site = "https://romm.example.com"
	t.Setenv("OIDC_CLIENT_SECRET", "insecure_secret")
	s := start(t, options{
		authelia: func(o *authelia.Options) { o.Clients[0].RedirectURIs = []string{site + base} },
		romm:     func(o *romm.Options) { o.OIDC.RedirectURI = site + base },
	})
	s.unload()
	block := regexp.MustCompile("(?s)## Behind another proxy.*?```caddyfile\n\\{\n(.*?)```").FindStringSubmatch(readFile(t, "../docs/site.md"))
	if block == nil {
		t.Fatal("docs/site.md has no Caddyfile behind another proxy")
	}
	s.tester.InitServer("{\n\tadmin localhost:2999\n\thttp_port 9080\n\thttps_port 9443\n\tgrace_period 1ns\n\tpersist_config off\n\tstorage file_system "+s.storage+"\n"+
		strings.NewReplacer(
			"10.0.0.2", "127.0.0.1", "http://caddy:9080", inside, "romm:8080", strings.TrimPrefix(s.rommURL, "http://"),
			"issuer https://auth.example.com\n", "issuer "+issuer+"\n\t\tissuer_address "+s.autheliaURL+"\n",
		).Replace(block[1]), "caddyfile")
	transport.CloseIdleConnections()
	b := s.browser()
	through := func(fields ...string) response {
		t.Helper()
		return b.do("http://127.0.0.1:9080/rom/7", append(fields, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "X-Forwarded-For", "203.0.113.9, 198.51.100.7")...)
	}
	answer := through("Host", "romm.example.com", "X-Forwarded-Proto", "https")
	location, err := url.Parse(answer.Header.Get("Location"))
	if err != nil || answer.StatusCode != http.StatusFound || location.Host != strings.TrimPrefix(issuer, "https://") || location.Query().Get("redirect_uri") != site+base {
		t.Fatalf("the page answered %d to %q, want 302 to Authelia and back to %s: %s", answer.StatusCode, location, site+base, answer.body)
	}
	if answer := through("Host", "romm.example.com"); answer.StatusCode != http.StatusMisdirectedRequest || !strings.Contains(answer.body, "X-Forwarded-Proto") {
		t.Errorf("without X-Forwarded-Proto it answered %d, want 421 that names it: %s", answer.StatusCode, answer.body)
	}
	b.do("http://127.0.0.1:9080/api/heartbeat", "Host", "romm.example.com", "X-Forwarded-Proto", "https", "X-Forwarded-For", "203.0.113.9, 198.51.100.7")
	beat, ok := s.romm.LastRequest("/api/heartbeat")
	if !ok || !strings.HasPrefix(beat.Header.Get("X-Forwarded-For"), "198.51.100.7") {
		t.Errorf("RomM got the client address %q, want the one that the proxy added", beat.Header.Get("X-Forwarded-For"))
	}
}
