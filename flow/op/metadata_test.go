// Tests of the metadata and JWK Set endpoints.

package op

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

func TestMetadataWire(t *testing.T) {
	server := serve(t, newProvider(testGate, keyringtest.New(), newClock().Now, testConfig))
	response, err := http.Get(server.URL + testIssuerPath + MetadataPath)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(`{"issuer":"I","authorization_endpoint":"I/login","token_endpoint":"I/token","jwks_uri":"I/jwks",`+
		`"scopes_supported":["openid","profile","email","romm_roles"],"response_types_supported":["code"],`+
		`"grant_types_supported":["authorization_code"],"subject_types_supported":["public"],`+
		`"id_token_signing_alg_values_supported":["ES256","RS256"],`+
		`"token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"],`+
		`"claims_supported":["iss","sub","aud","azp","exp","iat","auth_time","nonce","at_hash","email","name",`+
		`"preferred_username","romm_roles"]}`, `"I`, `"`+server.URL+"/api/oauth/openid")
	if string(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
	if response.StatusCode != http.StatusOK {
		t.Errorf("status %d, want 200", response.StatusCode)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestIssuerIsWhatRomMDialed(t *testing.T) {
	provider, _ := loaded(t, testConfig)
	for name, row := range map[string]struct{ url, want string }{
		"container network": {"http://caddy:9080", "http://caddy:9080/api/oauth/openid"},
		"default port":      {"http://caddy", "http://caddy/api/oauth/openid"},
		"TLS":               {"https://romm.example.com", "https://romm.example.com/api/oauth/openid"},
		"IPv6":              {"http://[::1]:9080", "http://[::1]:9080/api/oauth/openid"},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			provider.ServeMetadata(recorder, httptest.NewRequest(http.MethodGet, row.url+testIssuerPath+MetadataPath, nil))
			if got := object(t, recorder.Body.Bytes())["issuer"]; got != row.want {
				t.Errorf("issuer in the metadata %v, want %v", got, row.want)
			}
			request := httptest.NewRequest(http.MethodPost, row.url+testIssuerPath+TokenPath,
				strings.NewReader(tokenForm(code(t, provider, testClaims)).Encode()))
			request.Header = tokenRequest(nil).Header
			if got := part(t, object(t, post(provider, request).Body.Bytes())["id_token"], 1)["iss"]; got != row.want {
				t.Errorf("iss in the ID token %v, want %v", got, row.want)
			}
		})
	}
}

// CVE-2024-21498, CVE-2024-21499: an attacker sends X-Forwarded-Host to choose
// the addresses in the metadata.
// RomM would then send its client secret and its codes there.
func TestForwardedHeadersChooseNoIssuer(t *testing.T) {
	provider, _ := loaded(t, testConfig)
	request := httptest.NewRequest(http.MethodGet, "http://caddy:9080"+testIssuerPath+MetadataPath, nil)
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Server", "X-Forwarded-Prefix", "X-Original-Host", "X-Host"} {
		request.Header.Set(name, "evil.example")
	}
	request.Header.Set("X-Forwarded-Proto", "https")
	request.Header.Set("X-Forwarded-Port", "444")
	request.Header.Set("Forwarded", "host=evil.example;proto=https")
	recorder := httptest.NewRecorder()
	provider.ServeMetadata(recorder, request)
	if got := object(t, recorder.Body.Bytes())["issuer"]; got != "http://caddy:9080/api/oauth/openid" {
		t.Errorf("issuer %v, want http://caddy:9080/api/oauth/openid", got)
	}
	if strings.Contains(recorder.Body.String(), "evil") {
		t.Errorf("metadata %s, want nothing of evil.example", recorder.Body)
	}
}

func TestNoHostNoIssuer(t *testing.T) {
	provider, _ := loaded(t, testConfig)
	request := httptest.NewRequest(http.MethodGet, testIssuerPath+MetadataPath, nil)
	request.Host = ""
	recorder := httptest.NewRecorder()
	provider.ServeMetadata(recorder, request)
	if recorder.Code != http.StatusBadRequest {
		t.Errorf("metadata without a Host: %d, want 400", recorder.Code)
	}
	request = tokenRequest(tokenForm(code(t, provider, testClaims)))
	request.Host = ""
	wantAnswer(t, post(provider, request), http.StatusBadRequest, "invalid_request")
}

func TestMethods(t *testing.T) {
	provider, _ := loaded(t, testConfig)
	server := serve(t, provider)
	for _, row := range []struct{ path, allow string }{
		{MetadataPath, "GET, HEAD"},
		{JWKSPath, "GET, HEAD"},
		{TokenPath, "POST"},
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			t.Run(method+row.path, func(t *testing.T) {
				request, err := http.NewRequestWithContext(t.Context(), method, server.URL+testIssuerPath+row.path, nil)
				if err != nil {
					t.Fatal(err)
				}
				response, err := http.DefaultTransport.RoundTrip(request)
				if err != nil {
					t.Fatal(err)
				}
				defer response.Body.Close()
				refused := response.StatusCode == http.StatusMethodNotAllowed
				allowed := slices.Contains(strings.Split(row.allow, ", "), method)
				if refused == allowed {
					t.Errorf("status %d, want 405: %v", response.StatusCode, !allowed)
				}
				if refused && response.Header.Get("Allow") != row.allow {
					t.Errorf("Allow %q, want %q", response.Header.Get("Allow"), row.allow)
				}
				if response.StatusCode/100 == 3 {
					t.Errorf("status %d, want no redirect, which RomM would not follow", response.StatusCode)
				}
			})
		}
	}
}

func TestJWKSWire(t *testing.T) {
	provider, _ := loaded(t, testConfig)
	recorder := getJWKS(provider)
	if recorder.Code != http.StatusOK || recorder.Header().Get("Content-Type") != "application/json" ||
		recorder.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("JWK Set: %d %v, want 200, JSON and no-store", recorder.Code, recorder.Header())
	}
	var document map[string][]map[string]string
	if err := json.Unmarshal(recorder.Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	if len(document) != 1 || len(document["keys"]) != 2 {
		t.Fatalf("JWK Set %v, want two keys", document)
	}
	// The members of a thumbprint, in order (RFC 7638 section 3.2).
	required := map[string][]string{"ES256": {"crv", "kty", "x", "y"}, "RS256": {"e", "kty", "n"}}
	for _, key := range document["keys"] {
		t.Run(key["alg"], func(t *testing.T) {
			members := required[key["alg"]]
			// None of the private members d, p, q, dp, dq, qi and oth.
			want := slices.Sorted(slices.Values(append([]string{"alg", "kid", "use"}, members...)))
			if got := slices.Sorted(maps.Keys(key)); !slices.Equal(got, want) {
				t.Errorf("members %v, want %v", got, want)
			}
			canonical := make([]string, 0, len(members))
			for _, member := range members {
				canonical = append(canonical, `"`+member+`":"`+key[member]+`"`)
			}
			sum := sha256.Sum256([]byte("{" + strings.Join(canonical, ",") + "}"))
			if want := base64.RawURLEncoding.EncodeToString(sum[:]); key["kid"] != want {
				t.Errorf("kid %s, want the thumbprint %s", key["kid"], want)
			}
			if key["use"] != "sig" {
				t.Errorf("use %q, want sig", key["use"])
			}
		})
		delete(required, key["alg"])
	}
	if len(required) != 0 {
		t.Errorf("no key for %v, want one for each algorithm", required)
	}
}

// RomM gives up after 5 s, and storage may hang for longer than that.
func TestEndpointsHardlyWaitForStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, clock, heard := keyringtest.New(), newClock(), &events{}
		config := testConfig
		config.Report = heard.report
		provider := newProvider(testGate, storage, clock.Now, config)
		release := make(chan struct{})
		storage.Before(func(context.Context, string, string) error { <-release; return nil })

		began := time.Now()
		for name, recorder := range map[string]*httptest.ResponseRecorder{
			"jwks": getJWKS(provider), "token": post(provider, tokenRequest(tokenForm("code"))),
		} {
			if recorder.Code != http.StatusServiceUnavailable || recorder.Header().Get("Retry-After") == "" ||
				recorder.Body.String() != `{"error":"temporarily_unavailable"}` {
				t.Errorf("%s: %d %v %s, want 503 with Retry-After", name, recorder.Code, recorder.Header(), recorder.Body)
			}
		}
		if took := time.Since(began); took > 2*loadWait {
			t.Errorf("two requests took %s, want at most %s", took, 2*loadWait)
		}
		wantEvents(t, heard, eventRefused+": "+reasonUnavailable)
		if recorder := getMetadata(provider); recorder.Code != http.StatusOK { // needs no key
			t.Errorf("metadata: %d %s, want 200", recorder.Code, recorder.Body)
		}
		// The refused requests started a load.
		close(release)
		until(t, "keys", func() bool { return getJWKS(provider).Code == http.StatusOK })
	})
}

// RomM's token request reaches a node without sign-ins, which has yet to read
// the keys that other nodes made.
func TestFirstTokenRequestAtAnotherNode(t *testing.T) {
	storage, clock := keyringtest.New(), newClock()
	sent := code(t, started(t, storage, clock.Now), testClaims)
	idle := newProvider(testGate, storage, clock.Now, testConfig)
	wantAnswer(t, post(idle, tokenRequest(tokenForm(sent))), http.StatusOK, "")
}
