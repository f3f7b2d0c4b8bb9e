// Tests of the token endpoint.

package op

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

func TestTokenWire(t *testing.T) {
	for _, algorithm := range []string{ES256, RS256} {
		t.Run(algorithm, func(t *testing.T) {
			heard := &events{}
			config := testConfig
			config.Algorithm, config.Report = algorithm, heard.report
			provider, clock := loaded(t, config)
			sealed := code(t, provider, testClaims)
			recorder := post(provider, tokenRequest(tokenForm(sealed)))
			if recorder.Code != http.StatusOK {
				t.Fatalf("answer %d %s, want 200", recorder.Code, recorder.Body)
			}
			for name, want := range map[string]string{
				"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache",
			} {
				if got := recorder.Header().Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			response := object(t, recorder.Body.Bytes())
			if got := slices.Sorted(maps.Keys(response)); !slices.Equal(got,
				[]string{"access_token", "expires_in", "id_token", "token_type"}) {
				t.Errorf("members of the response %q, want access_token, expires_in, id_token and token_type", got)
			}
			if response["token_type"] != "Bearer" || response["expires_in"] != 300.0 {
				t.Errorf("token_type %v, expires_in %v, want Bearer and 300", response["token_type"], response["expires_in"])
			}
			access, _ := response["access_token"].(string)
			if len(access) < 26 {
				t.Errorf("access token %q has %d characters, want 26 or more", access, len(access))
			}
			keys, _ := provider.keys.current(t.Context(), nil)
			key, _ := keys.signer(algorithm, clock.Now())
			if got := part(t, response["id_token"], 0); !reflect.DeepEqual(got,
				map[string]any{"alg": algorithm, "kid": key.KeyID, "typ": "JWT"}) {
				t.Errorf("header of the ID token %v, want %s, %s and JWT", got, algorithm, key.KeyID)
			}
			now := float64(clock.Now().Unix())
			if got, want := part(t, response["id_token"], 1), (map[string]any{
				"iss": "http://caddy:9080/api/oauth/openid", "sub": testClaims.Subject, "aud": "romm", "azp": "romm",
				"iat": now, "exp": now + 300, "auth_time": 1_700_000_000.0, "nonce": "the-nonce",
				"at_hash": halfHash(access), "email": "Ada@example.com", "email_verified": true,
				"preferred_username": "ada", "name": "Ada Lovelace", "romm_roles": []any{"admin"},
			}); !reflect.DeepEqual(got, want) {
				t.Errorf("claims of the ID token\n%v\nwant\n%v", got, want)
			}
			wantOutcome(t, provider, sealed, outcome{requested: true, redeemed: true})
			wantEvents(t, heard, eventRedeemed)
		})
	}
}

// An attacker who saw a code sends it at the same moment as RomM.
// One of the two gets an ID token, never both.
func TestCodeIsRedeemedOnceUnderARace(t *testing.T) {
	first := newProvider(testGate, keyringtest.New(), newClock().Now, testConfig)
	// Two configurations of one gate, as a site block with two addresses has them.
	providers := []*Provider{first, New(first.keys, first.codes, testConfig)}
	for range 20 {
		sealed := code(t, providers[0], testClaims)
		var redeemed, refused atomic.Int32
		var ready, done sync.WaitGroup
		start := make(chan struct{})
		for i := range 16 {
			ready.Add(1)
			done.Go(func() {
				request := tokenRequest(tokenForm(sealed))
				ready.Done()
				<-start
				recorder := post(providers[i%2], request)
				switch {
				case recorder.Code == http.StatusOK:
					redeemed.Add(1)
				case recorder.Code == http.StatusBadRequest && recorder.Body.String() == `{"error":"invalid_grant"}`:
					refused.Add(1)
				}
			})
		}
		ready.Wait()
		close(start)
		done.Wait()
		if redeemed.Load() != 1 || refused.Load() != 15 {
			t.Fatalf("%d requests got a token and %d were refused, want 1 and 15", redeemed.Load(), refused.Load())
		}
		wantOutcome(t, first, sealed, outcome{requested: true, redeemed: true, refusal: reasonUsed})
	}
}

func TestEndpointsWorkWhileStorageIsUnavailable(t *testing.T) {
	storage, clock, heard := keyringtest.New(), newClock(), &events{}
	config := testConfig
	config.Report = heard.report
	provider := newProvider(testGate, storage, clock.Now, config)
	loadKeys(t, provider)
	storage.Fail(keyringtest.ErrUnavailable)
	clock.add(24 * time.Hour)
	redeem(t, provider, code(t, provider, testClaims)) // with the keys in memory
	until(t, "a report", func() bool {
		return slices.Contains(heard.all(), eventKeys+": reading the keyring: loading the keyring: storage is unavailable")
	})
}

func FuzzServeToken(f *testing.F) {
	clock := newClock()
	provider := newProvider(testGate, keyringtest.New(), clock.Now, testConfig)
	sealed, err := provider.Code(f.Context(), testClaims, "the-nonce")
	if err != nil {
		f.Fatal(err)
	}
	right := basic(testConfig.ClientID, testConfig.ClientSecret)
	f.Add(tokenForm(sealed).Encode(), right)
	f.Add(tokenForm(sealed).Encode(), basic("romm", ""))
	f.Add(tokenForm("").Encode(), "")
	f.Add(tokenForm(sealed+"\n").Encode(), right)
	f.Add("code=%zz;a=b&&=&"+strings.Repeat("a=b&", 2000), "Basic =")
	f.Add("client_id=romm&client_secret="+url.QueryEscape(testConfig.ClientSecret), "")
	f.Add("grant_type=authorization_code&grant_type=authorization_code", right)
	f.Fuzz(func(t *testing.T, body, authorization string) {
		request := tokenRequest(nil)
		request.Body = io.NopCloser(strings.NewReader(body))
		request.Header.Set("Authorization", authorization)
		recorder := post(provider, request)
		if !json.Valid(recorder.Body.Bytes()) {
			t.Errorf("body %q, want JSON", recorder.Body)
		}
		if recorder.Code/100 == 3 || recorder.Code >= 500 {
			t.Errorf("status %d, want neither a redirect nor a server error", recorder.Code)
		}
		if recorder.Code == http.StatusOK && !strings.Contains(body, sealed) {
			form, _ := url.ParseQuery(body)
			if form.Get("code") != sealed {
				t.Errorf("a token for %q, want one for the genuine code only", body)
			}
		}
	})
}
