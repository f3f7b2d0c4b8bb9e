package op

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

func TestCodeFitsAQuery(t *testing.T) {
	provider, _ := prepared(t, testConfig)
	sealed := code(t, provider, testClaims)
	if url.QueryEscape(sealed) != sealed {
		t.Errorf("%q", sealed)
	}
	if len(sealed) > 320 {
		t.Errorf("%d bytes for ordinary claims", len(sealed))
	}
	if sealed == code(t, provider, testClaims) {
		t.Error("the same code twice")
	}
	for _, secret := range []string{testClaims.Subject, testClaims.Email, "the-nonce"} {
		raw, err := base64.RawURLEncoding.DecodeString(sealed)
		if err != nil || strings.Contains(string(raw), secret) {
			t.Errorf("%q shows through", secret)
		}
	}
}

func TestCodeNeedsWhatRomMNeeds(t *testing.T) {
	provider, _ := prepared(t, testConfig)
	for name, row := range map[string]struct {
		change func(*Claims)
		nonce  string
	}{
		"no subject":  {func(c *Claims) { c.Subject = "" }, "n"},
		"no username": {func(c *Claims) { c.Username = "" }, "n"},
		"no e-mail":   {func(c *Claims) { c.Email = "" }, "n"},
		"no nonce":    {func(*Claims) {}, ""},
		"too much":    {func(c *Claims) { c.Name = strings.Repeat("x", codeSize) }, "n"},
	} {
		t.Run(name, func(t *testing.T) {
			claims := testClaims
			row.change(&claims)
			if sealed, err := provider.Code(t.Context(), claims, row.nonce); !errors.Is(err, ErrClaims) || sealed != "" {
				t.Errorf("%q, %v", sealed, err)
			}
		})
	}
}

// A code of another gate, client or redirect URI opens nothing here, even if
// both gates share a storage and their first user.
func TestForeignCodes(t *testing.T) {
	storage, clock := newMemory(), newClock()
	provider := New(node(testGate, storage, clock.Now), testConfig)
	if err := provider.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	change := func(change func(*Config)) Config {
		config := testConfig
		change(&config)
		return config
	}
	for name, foreign := range map[string]*Provider{
		"another gate":         New(node("other", storage, clock.Now), testConfig),
		"another keyring":      New(node(testGate, newMemory(), clock.Now), testConfig),
		"another client":       New(provider.state, change(func(c *Config) { c.ClientID = "other" })),
		"another redirect URI": New(provider.state, change(func(c *Config) { c.RedirectURI += "x" })),
	} {
		t.Run(name, func(t *testing.T) {
			sealed := code(t, foreign, testClaims)
			recorder := post(provider, tokenRequest(tokenForm(sealed)))
			if recorder.Code != http.StatusBadRequest || recorder.Body.String() != `{"error":"invalid_grant"}` {
				t.Errorf("%d %s", recorder.Code, recorder.Body)
			}
			if got := provider.state.Outcome(sealed); got != (Outcome{}) {
				t.Errorf("%+v", got)
			}
		})
	}
	t.Run("another purpose", func(t *testing.T) {
		keyring, err := keyring.Load(t.Context(), storage, testGate, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		sealed := keyring.SealText("login", []byte(`{"s":"evil","x":99999999999999}`), testConfig.ClientID, testConfig.RedirectURI)
		if recorder := post(provider, tokenRequest(tokenForm(sealed))); recorder.Code != http.StatusBadRequest {
			t.Errorf("%d %s", recorder.Code, recorder.Body)
		}
	})
}

func TestCodeExpires(t *testing.T) {
	for name, row := range map[string]struct {
		age  time.Duration
		good bool
	}{
		"fresh":         {0, true},
		"just in time":  {30*time.Second - time.Millisecond, true},
		"just too late": {30 * time.Second, false},
		"a day later":   {24 * time.Hour, false},
	} {
		t.Run(name, func(t *testing.T) {
			provider, clock := prepared(t, testConfig)
			sealed := code(t, provider, testClaims)
			clock.add(row.age)
			recorder := post(provider, tokenRequest(tokenForm(sealed)))
			if row.good {
				if recorder.Code != http.StatusOK {
					t.Errorf("%d %s", recorder.Code, recorder.Body)
				}
				return
			}
			if recorder.Code != http.StatusBadRequest || recorder.Body.String() != `{"error":"invalid_grant"}` {
				t.Errorf("%d %s", recorder.Code, recorder.Body)
			}
			if got := provider.state.Outcome(sealed); got != (Outcome{Requested: true, Refusal: RefusalExpired}) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// Go's base64 decoder skips line breaks, so a code has many spellings.
// Whoever saw one must not redeem it again under another.
func TestLineBreaksDoNotMakeAnotherCode(t *testing.T) {
	provider, _ := prepared(t, testConfig)
	sealed := code(t, provider, testClaims)
	redeem(t, provider, sealed)
	for _, again := range []string{sealed, sealed + "\n", "\r" + sealed, sealed[:9] + "\r\n" + sealed[9:], sealed + " "} {
		if recorder := post(provider, tokenRequest(tokenForm(again))); recorder.Code != http.StatusBadRequest {
			t.Errorf("%q: %d %s", again, recorder.Code, recorder.Body)
		}
	}
}

// Any instance and any node opens a code, each redeems it once.
func TestCodeTravels(t *testing.T) {
	storage, clock := newMemory(), newClock()
	here, there := New(node(testGate, storage, clock.Now), testConfig), New(node(testGate, storage, clock.Now), testConfig)
	sealed := code(t, here, testClaims)
	if err := there.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	payload := part(t, redeem(t, there, sealed)["id_token"], 1)
	if payload["sub"] != testClaims.Subject || payload["nonce"] != "the-nonce" {
		t.Errorf("%v", payload)
	}
	if recorder := post(there, tokenRequest(tokenForm(sealed))); recorder.Code != http.StatusBadRequest {
		t.Errorf("twice at one node: %d", recorder.Code)
	}
	if got := here.state.Outcome(sealed); got != (Outcome{}) {
		t.Errorf("an outcome is the node's own: %+v", got)
	}
}

func TestRedeemedCodesAreBoundedAndForgotten(t *testing.T) {
	provider, clock := prepared(t, testConfig)
	state := provider.state
	expires := clock.Now().Add(codeLifetime).UnixMilli()
	for i := range codesKept {
		if err := state.redeem(fmt.Sprint(i), grant{Expires: expires}); err != nil {
			t.Fatal(err)
		}
	}
	if err := state.redeem("one more", grant{Expires: expires}); !errors.Is(err, errUnavailable) {
		t.Errorf("a code that cannot be remembered: %v", err)
	}
	state.refuse("one more", grant{Expires: expires}, RefusalSecret)
	if len(state.codes) != codesKept {
		t.Errorf("%d", len(state.codes))
	}
	if err := state.redeem("0", grant{Expires: expires}); !errors.Is(err, errUsed) {
		t.Errorf("the first was forgotten: %v", err)
	}
	clock.add(2*codeLifetime + time.Second)
	if err := state.redeem("one more", grant{Expires: clock.Now().Add(codeLifetime).UnixMilli()}); err != nil {
		t.Error(err)
	}
	if len(state.codes) != 1 {
		t.Errorf("%d codes kept", len(state.codes))
	}
}

func FuzzCode(f *testing.F) {
	provider := New(node(testGate, newMemory(), newClock().Now), testConfig)
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
		keys := provider.state.loaded.Load()
		opened, ok := provider.openCode(keys.keyring, code)
		if ok != (code == sealed) {
			t.Errorf("%q opens: %v", code, ok)
		}
		if ok && !reflect.DeepEqual(opened.Claims, testClaims) {
			t.Errorf("%+v", opened)
		}
	})
}
