package op

import (
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
)

func TestMetadataWire(t *testing.T) {
	server := serve(t, New(node(testGate, newMemory(), newClock().Now), testConfig))
	response, err := http.Get(server.URL + IssuerPath + MetadataPath)
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
		t.Errorf("status %d", response.StatusCode)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestIssuerIsWhatRomMDialled(t *testing.T) {
	provider, _ := prepared(t, testConfig)
	for name, row := range map[string]struct{ url, want string }{
		"container network": {"http://caddy:9080", "http://caddy:9080/api/oauth/openid"},
		"default port":      {"http://caddy", "http://caddy/api/oauth/openid"},
		"TLS":               {"https://romm.example.com", "https://romm.example.com/api/oauth/openid"},
		"IPv6":              {"http://[::1]:9080", "http://[::1]:9080/api/oauth/openid"},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			provider.ServeMetadata(recorder, httptest.NewRequest(http.MethodGet, row.url+IssuerPath+MetadataPath, nil))
			if got := object(t, recorder.Body.Bytes())["issuer"]; got != row.want {
				t.Errorf("metadata: %v, want %v", got, row.want)
			}
			request := httptest.NewRequest(http.MethodPost, row.url+IssuerPath+TokenPath,
				strings.NewReader(tokenForm(code(t, provider, testClaims)).Encode()))
			request.Header = tokenRequest(nil).Header
			if got := part(t, object(t, post(provider, request).Body.Bytes())["id_token"], 1)["iss"]; got != row.want {
				t.Errorf("ID token: %v, want %v", got, row.want)
			}
		})
	}
}

// CVE-2024-21498, CVE-2024-21499: a stranger behind a proxy sends
// X-Forwarded-Host and so chooses the addresses in the metadata.
// RomM would then send its client secret and its codes to him.
func TestForwardedHeadersChooseNoIssuer(t *testing.T) {
	provider, _ := prepared(t, testConfig)
	request := httptest.NewRequest(http.MethodGet, "http://caddy:9080"+IssuerPath+MetadataPath, nil)
	for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Server", "X-Forwarded-Prefix", "X-Original-Host", "X-Host"} {
		request.Header.Set(name, "evil.example")
	}
	request.Header.Set("X-Forwarded-Proto", "https")
	request.Header.Set("X-Forwarded-Port", "444")
	request.Header.Set("Forwarded", "host=evil.example;proto=https")
	recorder := httptest.NewRecorder()
	provider.ServeMetadata(recorder, request)
	if got := object(t, recorder.Body.Bytes())["issuer"]; got != "http://caddy:9080/api/oauth/openid" {
		t.Errorf("issuer %v", got)
	}
	if strings.Contains(recorder.Body.String(), "evil") {
		t.Error(recorder.Body)
	}
}

func TestNoHostNoIssuer(t *testing.T) {
	provider, _ := prepared(t, testConfig)
	request := httptest.NewRequest(http.MethodGet, IssuerPath+MetadataPath, nil)
	request.Host = ""
	recorder := httptest.NewRecorder()
	provider.ServeMetadata(recorder, request)
	if recorder.Code != http.StatusBadRequest {
		t.Errorf("metadata: %d", recorder.Code)
	}
	request = tokenRequest(tokenForm(code(t, provider, testClaims)))
	request.Host = ""
	if recorder := post(provider, request); recorder.Code != http.StatusBadRequest {
		t.Errorf("token: %d", recorder.Code)
	}
}

func TestMethods(t *testing.T) {
	provider, _ := prepared(t, testConfig)
	server := serve(t, provider)
	for _, row := range []struct{ path, allow string }{
		{MetadataPath, "GET, HEAD"},
		{JWKSPath, "GET, HEAD"},
		{TokenPath, "POST"},
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"} {
			t.Run(method+row.path, func(t *testing.T) {
				request, err := http.NewRequestWithContext(t.Context(), method, server.URL+IssuerPath+row.path, nil)
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
					t.Errorf("status %d", response.StatusCode)
				}
				if refused && response.Header.Get("Allow") != row.allow {
					t.Errorf("Allow: %q", response.Header.Get("Allow"))
				}
				if response.StatusCode/100 == 3 {
					t.Error("RomM's client follows no redirect")
				}
			})
		}
	}
}

func TestJWKSWire(t *testing.T) {
	provider, _ := prepared(t, testConfig)
	recorder := httptest.NewRecorder()
	provider.ServeJWKS(recorder, httptest.NewRequest(http.MethodGet, "http://caddy:9080"+IssuerPath+JWKSPath, nil))
	if recorder.Code != http.StatusOK || recorder.Header().Get("Content-Type") != "application/json" ||
		recorder.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", recorder.Code, recorder.Header())
	}
	var document map[string][]map[string]string
	if err := json.Unmarshal(recorder.Body.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	if len(document) != 1 || len(document["keys"]) != 2 {
		t.Fatalf("%v", document)
	}
	// The members that a thumbprint is made of, in its order (RFC 7638 section 3.2).
	required := map[string][]string{"ES256": {"crv", "kty", "x", "y"}, "RS256": {"e", "kty", "n"}}
	for _, key := range document["keys"] {
		t.Run(key["alg"], func(t *testing.T) {
			members := required[key["alg"]]
			// Exactly these: no d, p, q, dp, dq, qi or oth, which are private.
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
				t.Errorf("use %q", key["use"])
			}
		})
		delete(required, key["alg"])
	}
	if len(required) != 0 {
		t.Errorf("no key for %v", required)
	}
}

// RomM gives up after 5 s, and a storage may hang for longer than that.
func TestEndpointsHardlyWaitForStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		storage, clock, heard := newMemory(), newClock(), &events{}
		config := testConfig
		config.Report = heard.report
		provider := New(node(testGate, storage, clock.Now), config)
		release := make(chan struct{})
		storage.hook(func() error { <-release; return nil })

		jwks := func() *httptest.ResponseRecorder {
			recorder := httptest.NewRecorder()
			provider.ServeJWKS(recorder, httptest.NewRequest(http.MethodGet, "http://caddy:9080"+IssuerPath+JWKSPath, nil))
			return recorder
		}
		began := time.Now()
		for name, recorder := range map[string]*httptest.ResponseRecorder{
			"jwks": jwks(), "token": post(provider, tokenRequest(tokenForm("code"))),
		} {
			if recorder.Code != http.StatusServiceUnavailable || recorder.Header().Get("Retry-After") == "" ||
				recorder.Body.String() != `{"error":"temporarily_unavailable"}` {
				t.Errorf("%s: %d %v %s", name, recorder.Code, recorder.Header(), recorder.Body)
			}
		}
		if took := time.Since(began); took > 2*loadSoon {
			t.Errorf("%s for two requests", took)
		}
		if want := []string{EventRefused + ": " + RefusalUnavailable}; !slices.Equal(heard.all(), want) {
			t.Errorf("heard %v, want %v", heard.all(), want)
		}
		recorder := httptest.NewRecorder()
		provider.ServeMetadata(recorder, httptest.NewRequest(http.MethodGet, "http://caddy:9080"+IssuerPath+MetadataPath, nil))
		if recorder.Code != http.StatusOK {
			t.Errorf("metadata needs no key: %d", recorder.Code)
		}
		// The refused requests have a load started, so nobody need call Prepare.
		close(release)
		until(t, "keys", func() bool { return jwks().Code == http.StatusOK })
	})
}

// RomM's token request lands on a node that nobody has signed in at: it has yet
// to read the keys that the others made.
func TestFirstTokenRequestAtAnotherNode(t *testing.T) {
	storage, clock := newMemory(), newClock()
	sent := code(t, ready(t, storage, clock.Now), testClaims)
	idle := New(node(testGate, storage, clock.Now), testConfig)
	if recorder := post(idle, tokenRequest(tokenForm(sent))); recorder.Code != http.StatusOK {
		t.Errorf("%d %s", recorder.Code, recorder.Body)
	}
}
