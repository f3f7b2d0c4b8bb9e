// Tests of authorization codes.

package op

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring/keyringtest"
)

func TestCodeFitsAQuery(t *testing.T) {
	provider, _ := loaded(t, testConfig)
	sealed := code(t, provider, testClaims)
	if url.QueryEscape(sealed) != sealed {
		t.Errorf("code %q needs escaping in a query, want none", sealed)
	}
	if len(sealed) > 320 {
		t.Errorf("code of %d bytes for ordinary claims, want at most 320", len(sealed))
	}
	if sealed == code(t, provider, testClaims) {
		t.Error("two codes are equal, want each sealed under its own nonce")
	}
	for _, secret := range []string{testClaims.Subject, testClaims.Email, "the-nonce"} {
		raw, err := base64.RawURLEncoding.DecodeString(sealed)
		if err != nil || strings.Contains(string(raw), secret) {
			t.Errorf("the code holds %q in the clear (%v), want it sealed", secret, err)
		}
	}
}

func TestCodeNeedsWhatRomMNeeds(t *testing.T) {
	provider, _ := loaded(t, testConfig)
	for name, row := range map[string]struct {
		change func(*Claims)
		nonce  string
		want   error
	}{
		"no subject":        {func(c *Claims) { c.Subject = "" }, "n", errClaimsMissing},
		"no username":       {func(c *Claims) { c.Username = "" }, "n", errClaimsMissing},
		"no e-mail":         {func(c *Claims) { c.Email = "" }, "n", errClaimsMissing},
		"no nonce":          {func(*Claims) {}, "", errClaimsMissing},
		"name is too long":  {func(c *Claims) { c.Name = strings.Repeat("x", codeSize) }, "n", ErrClaimsTooLarge},
		"name of 1,000 '&'": {func(c *Claims) { c.Name = strings.Repeat("&", 1000) }, "n", nil}, // 1 byte each, not 6 as in HTML-safe JSON
	} {
		t.Run(name, func(t *testing.T) {
			claims := testClaims
			row.change(&claims)
			sealed, err := provider.Code(t.Context(), claims, row.nonce)
			if !errors.Is(err, row.want) || (sealed == "") != (row.want != nil) {
				t.Errorf("Code = %q, %v, want the error %v", sealed, err, row.want)
			}
		})
	}
}

// A code for another gate, client or redirect URI is refused, even if both
// gates share a storage and a user.
func TestForeignCodes(t *testing.T) {
	storage, clock := keyringtest.New(), newClock()
	provider := newProvider(testGate, storage, clock.Now, testConfig)
	loadKeys(t, provider)
	change := func(change func(*Config)) Config {
		config := testConfig
		change(&config)
		return config
	}
	for name, foreign := range map[string]*Provider{
		"another gate":         newProvider("other", storage, clock.Now, testConfig),
		"another keyring":      newProvider(testGate, keyringtest.New(), clock.Now, testConfig),
		"another client":       New(provider.keys, provider.codes, change(func(c *Config) { c.ClientID = "other" })),
		"another redirect URI": New(provider.keys, provider.codes, change(func(c *Config) { c.RedirectURI += "x" })),
	} {
		t.Run(name, func(t *testing.T) {
			sealed := code(t, foreign, testClaims)
			wantAnswer(t, post(provider, tokenRequest(tokenForm(sealed))), http.StatusBadRequest, "invalid_grant")
			wantOutcome(t, provider, sealed, outcome{})
		})
	}
	t.Run("another purpose", func(t *testing.T) {
		keyring, err := keyring.Load(t.Context(), storage, testGate, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		sealed := keyring.SealText("login", []byte(`{"s":"evil","x":99999999999999}`), testConfig.ClientID, testConfig.RedirectURI)
		wantAnswer(t, post(provider, tokenRequest(tokenForm(sealed))), http.StatusBadRequest, "invalid_grant")
	})
}

func TestCodeExpires(t *testing.T) {
	for name, row := range map[string]struct {
		age  time.Duration
		good bool
	}{
		"new":             {0, true},
		"just below 30 s": {30*time.Second - time.Millisecond, true},
		"30 s":            {30 * time.Second, false},
		"a day":           {24 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			provider, clock := loaded(t, testConfig)
			sealed := code(t, provider, testClaims)
			clock.add(row.age)
			recorder := post(provider, tokenRequest(tokenForm(sealed)))
			if row.good {
				wantAnswer(t, recorder, http.StatusOK, "")
				return
			}
			wantAnswer(t, recorder, http.StatusBadRequest, "invalid_grant")
			wantOutcome(t, provider, sealed, outcome{requested: true, refusal: reasonExpired})
		})
	}
}

// An attacker saw a redeemed code and sends it with line breaks, which Go's
// base64 decoder skips. It is still the same code.
func TestLineBreaksDoNotMakeAnotherCode(t *testing.T) {
	provider, _ := loaded(t, testConfig)
	sealed := code(t, provider, testClaims)
	redeem(t, provider, sealed)
	for _, again := range []string{sealed, sealed + "\n", "\r" + sealed, sealed[:9] + "\r\n" + sealed[9:], sealed + " "} {
		wantAnswer(t, post(provider, tokenRequest(tokenForm(again))), http.StatusBadRequest, "invalid_grant")
	}
}

// Any node redeems a code of another node, each once.
func TestCodeTravels(t *testing.T) {
	storage, clock := keyringtest.New(), newClock()
	here, there := newProvider(testGate, storage, clock.Now, testConfig), newProvider(testGate, storage, clock.Now, testConfig)
	sealed := code(t, here, testClaims)
	loadKeys(t, there)
	payload := part(t, redeem(t, there, sealed)["id_token"], 1)
	if payload["sub"] != testClaims.Subject || payload["nonce"] != "the-nonce" {
		t.Errorf("sub %v, nonce %v, want %s and the-nonce", payload["sub"], payload["nonce"], testClaims.Subject)
	}
	wantAnswer(t, post(there, tokenRequest(tokenForm(sealed))), http.StatusBadRequest, "invalid_grant")
	wantOutcome(t, here, sealed, outcome{})
}

func FuzzCode(f *testing.F) {
	provider := newProvider(testGate, keyringtest.New(), newClock().Now, testConfig)
	sealed, err := provider.Code(f.Context(), testClaims, "the-nonce")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(sealed + "\n")
	f.Add(otherLast(sealed))
	f.Add(sealed[:28])
	f.Add("")
	f.Fuzz(func(t *testing.T, code string) {
		keys := provider.keys.loaded.Load()
		content, ok := provider.openCode(keys.keyring, code)
		if ok != (code == sealed) {
			t.Errorf("%q opens: %v, want %v", code, ok, !ok)
		}
		if ok && !reflect.DeepEqual(content.Claims, testClaims) {
			t.Errorf("claims in the code %+v, want %+v", content.Claims, testClaims)
		}
	})
}
