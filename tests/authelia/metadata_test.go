package authelia_test

import (
	"encoding/json"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/romm-oidc/caddy-romm-oidc/tests/authelia"
)

func TestMetadata(t *testing.T) {
	p := newParty(t)
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		answer := p.get(path)
		p.status(path, answer, http.StatusOK)
		for name, want := range map[string]string{
			"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store", "Access-Control-Allow-Origin": "*",
		} {
			if got := answer.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		raw, err := os.ReadFile("discovery.json")
		if err != nil {
			t.Fatal(err)
		}
		var measured map[string]any
		if err := json.Unmarshal(raw, &measured); err != nil {
			t.Fatal(err)
		}
		document := answer.json(t)
		if !reflect.DeepEqual(document, measured) {
			t.Errorf("%s: not the measured document: %s", path, answer.body)
		}
		if len(document) != 44 {
			t.Errorf("%s: %d keys, want 44", path, len(document))
		}
		algs, _ := document["id_token_signing_alg_values_supported"].([]any)
		if len(algs) == 0 || algs[0] != "HS256" {
			t.Errorf("%s: algorithms %v, want HS256 first", path, algs)
		}
		for _, absent := range []string{"end_session_endpoint", "check_session_iframe", "registration_endpoint", "acr_values_supported"} {
			if _, ok := document[absent]; ok {
				t.Errorf("%s: has %s", path, absent)
			}
		}
	}
	head := p.send(http.MethodHead, "/.well-known/openid-configuration", "")
	p.status("HEAD", head, http.StatusMethodNotAllowed)
	if got := head.Header.Get("Allow"); got != "GET, OPTIONS" {
		t.Errorf("Allow is %q", got)
	}
	p.status("webfinger", p.get("/.well-known/webfinger"), http.StatusNotFound)
	p.status("health", p.send(http.MethodGet, "http://10.0.0.1:9091/api/health", ""), http.StatusOK)
}

func TestMetadataHasItsOwnIssuer(t *testing.T) {
	p := newParty(t, func(o *authelia.Options) { o.Issuer = "http://localhost:9091" })
	document := p.get("/.well-known/openid-configuration").json(t)
	has(t, document, map[string]string{
		"issuer": `"http://localhost:9091"`, "token_endpoint": `"http://localhost:9091/api/oidc/token"`, "jwks_uri": `"http://localhost:9091/jwks.json"`,
	})
}

// The issuer is what the request says, and only the public one is served.
func TestAddress(t *testing.T) {
	internal := "http://authelia:9091"
	tests := []struct {
		name, base string
		header     []string
		ok         bool
	}{
		{name: "public name", base: issuer, ok: true},
		{name: "container name", base: internal},
		{name: "public name over http", base: "http://auth.example.test"},
		{name: "explicit port", base: issuer + ":443"},
		{name: "host in capitals", base: issuer, header: []string{"Host", "AUTH.example.test"}},
		{name: "another host", base: "https://login.example.test"},
		{name: "both forwarded headers", base: internal, header: []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "auth.example.test"}, ok: true},
		{name: "forwarded scheme and Host", base: internal, header: []string{"X-Forwarded-Proto", "https", "Host", "auth.example.test"}, ok: true},
		{name: "forwarded host without scheme", base: internal, header: []string{"X-Forwarded-Host", "auth.example.test"}},
		{name: "forwarded host wins", base: issuer, header: []string{"X-Forwarded-Host", "evil.example.test"}},
		{name: "forwarded scheme wins", base: issuer, header: []string{"X-Forwarded-Proto", "http"}},
		{name: "RFC 7239 is ignored", base: internal, header: []string{"Forwarded", "proto=https;host=auth.example.test"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParty(t)
			for _, path := range []string{"/.well-known/openid-configuration", "/jwks.json"} {
				answer := p.get(test.base+path, test.header...)
				if test.ok {
					p.status(path, answer, http.StatusOK)
					continue
				}
				p.status(path, answer, http.StatusBadRequest)
				if answer.body != "400 Bad Request" || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain") {
					t.Errorf("%s: %q %v", path, answer.body, answer.Header)
				}
			}
			if test.ok {
				return
			}
			for path, method := range map[string]string{"/api/oidc/token": http.MethodPost, "/api/oidc/userinfo": http.MethodGet} {
				answer := p.send(method, test.base+path, "", test.header...)
				p.status(path, answer, http.StatusBadRequest)
				has(t, answer.json(t), map[string]string{"error": `"invalid_request"`})
			}
			p.status("authorization", p.get(test.base+"/api/oidc/authorization?"+query("romm").Encode(), test.header...), http.StatusInternalServerError)
		})
	}
}

func TestHeaderLimit(t *testing.T) {
	p := newParty(t)
	p.status("3.8 kB", p.get("/?x="+strings.Repeat("a", 3800)), http.StatusOK)
	answer := p.get("/?x=" + strings.Repeat("a", 4096))
	p.status("long request line", answer, http.StatusRequestHeaderFieldsTooLarge)
	if !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("Content-Type %q", answer.Header.Get("Content-Type"))
	}
	p.status("big cookies", p.get("/", "Cookie", "romm="+strings.Repeat("a", 4096)), http.StatusRequestHeaderFieldsTooLarge)
}

func TestJWKS(t *testing.T) {
	p := newParty(t)
	answer := p.get("/jwks.json")
	p.status("JWKS", answer, http.StatusOK)
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q", got)
	}
	keys := keysOf(t, answer)
	if len(keys) != 3 {
		t.Fatalf("%d keys, want one per algorithm in use", len(keys))
	}
	has(t, keys[0], map[string]string{"use": `"sig"`, "kty": `"RSA"`, "kid": `"main-rs256"`, "alg": `"RS256"`, "e": `"AQAB"`, "d": "absent"})
	has(t, keys[1], map[string]string{"kty": `"EC"`, "alg": `"ES256"`, "crv": `"P-256"`, "d": "absent"})
	if kid := text(keys[1]["kid"]); len(kid) != len("aad44a-es256") || !strings.HasSuffix(kid, "-es256") {
		t.Errorf("kid %q", kid)
	}

	p.op.RotateKeys()
	for i, key := range keysOf(t, p.get("/jwks.json")) {
		if key["kid"] == keys[i]["kid"] {
			t.Errorf("kid %v is still there", key["kid"])
		}
	}
}

func keysOf(t *testing.T, answer response) []map[string]any {
	t.Helper()
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(answer.body), &set); err != nil {
		t.Fatal(err)
	}
	return set.Keys
}

func TestNewRefusesNonsense(t *testing.T) {
	for _, bad := range []string{"", "auth.example.test", "https://auth.example.test/", "https://auth.example.test/auth", "http://auth.example.test"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New took issuer %q", bad)
				}
			}()
			authelia.New(authelia.Options{Issuer: bad})
		}()
	}
}
