// The account of RomM's tokens: how it is noted, and for how long.

package romm

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
	"github.com/romm-oidc/caddy-romm-oidc/handler/application"
)

// jwtUntil is a token of RomM's form for alice.
func jwtUntil(expires time.Time) string {
	payload := fmt.Sprintf(`{"sub":"alice","exp":%d}`, expires.Unix())
	return "eyJhbGciOiJIUzI1NiJ9." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".AA"
}

// RomM reads the same form as the gate, however its client sends it: it must not
// find another token there.
func TestExchangeForm(t *testing.T) {
	t.Parallel()
	multipart := "--x\r\nContent-Disposition: form-data; name=\"refresh_token\"\r\n\r\nhis\r\n--x--\r\n"
	for name, c := range map[string]struct{ kind, body, want string }{
		"form":              {"application/x-www-form-urlencoded", "grant_type=refresh_token&refresh_token=his", "grant_type=refresh_token&refresh_token=his"},
		"twice":             {"application/x-www-form-urlencoded", "refresh_token=mine&refresh_token=his", "refresh_token=his"},
		"semicolon":         {"application/x-www-form-urlencoded", "a=b;refresh_token=his", ""},
		"encoded name":      {"application/x-www-form-urlencoded", "refresh%5Ftoken=his", "refresh_token=his"},
		"broken encoding":   {"application/x-www-form-urlencoded", "refresh_token=%zz", ""},
		"charset":           {"application/x-www-form-urlencoded; charset=utf-8", "refresh_token=his", "refresh_token=his"},
		"any case":          {"Application/X-WWW-Form-Urlencoded", "refresh_token=his", "refresh_token=his"},
		"multipart":         {"multipart/form-data; boundary=x", multipart, "refresh_token=his"},
		"multipart, broken": {"multipart/form-data", multipart, ""},
		"JSON":              {"application/json", `{"refresh_token":"his"}`, ""},
		"no type":           {"", "refresh_token=his", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodPost, "/api/token?refresh_token=mine", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.kind)
			appOf(t, "5.2.0").Exchange(r)
			got, _ := io.ReadAll(r.Body)
			if string(got) != c.want || r.ContentLength != int64(len(got)) || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
				t.Errorf("RomM gets %q of %d bytes as %s, want %q", got, r.ContentLength, r.Header.Get("Content-Type"), c.want)
			}
		})
	}
}

// What RomM says about the name in a token decides only if the token was not issued
// through the gate. The gate's other nodes, and a restarted one, know the same.
func TestIssuedTokensStayWithTheirAccount(t *testing.T) {
	t.Parallel()
	const bob, alice = `{"id":2,"username":"alice","created_at":"2026-01-01T00:00:00"}`, `{"id":3,"username":"alice","created_at":"2026-01-02T00:00:00"}`
	app := appOf(t, "5.2.0")
	other := New(Config{Release: app.config.Release, Clients: app.config.Clients, Links: NewLinks(testGate, app.config.Links.storage)})
	access, refresh := jwtUntil(time.Now().Add(time.Hour)), jwtUntil(time.Now().Add(7*24*time.Hour))
	now := bob
	call := func(context.Context, application.Call) (*application.Answer, error) {
		if now == "" {
			return nil, errors.New("away")
		}
		return &application.Answer{Status: http.StatusOK, Header: http.Header{}, Body: []byte(now)}, nil
	}
	exchange := func(form url.Values, access, refresh string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodPost, "/api/token", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if err := app.Exchange(r)(t.Context(), call, fmt.Appendf(nil, `{"access_token":%q,"refresh_token":%q}`, access, refresh)); err != nil {
			t.Fatal(err)
		}
	}
	exchange(url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"x"}}, access, refresh)
	wants := func(what, token string, want application.Recognition) {
		t.Helper()
		if got, _, err := other.Recognize(t.Context(), call, "Bearer "+token); got != want || err != nil {
			t.Errorf("%s is %v, %v, want %v", what, got, err, want)
		}
	}
	wants("bob's token while he has the name", access, application.Recognized)
	now = alice
	wants("bob's token when alice has the name", access, application.Unrecognized)
	next := jwtUntil(time.Now().Add(2 * time.Hour))
	exchange(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}, next, "")
	wants("what bob got for his refresh token", next, application.Unrecognized)
	for i, spelled := range []string{refresh + "=", refresh + "==", refresh + " ", refresh[:len(refresh)-1] + "B"} { // RomM accepts the first, or the others
		next := jwtUntil(time.Now().Add(time.Duration(4+i) * time.Hour))
		exchange(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {spelled}}, next, "")
		wants("what bob got for his refresh token, spelled "+spelled, next, application.Unrecognized)
	}
	wants("bob's token in another spelling", access[:len(access)-1]+"B", application.Unrecognized)
	hers := jwtUntil(time.Now().Add(3 * time.Hour))
	wants("a token that was not issued through the gate", hers, application.Recognized)
	exchange(url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"y"}}, hers, "")
	wants("alice's token", hers, application.Recognized)
	now = ""
	if got, _, err := other.Recognize(t.Context(), call, "Bearer "+hers); got != application.Undecided || err == nil {
		t.Errorf("while RomM is away, alice's token is %v, %v, want an error", got, err)
	}
}

// A script has asked for a hundred thousand tokens. Whether one of them is a new
// account's is known without reading them.
func TestManyIssuedTokensDoNotSlowTheSeal(t *testing.T) {
	t.Parallel()
	app := appOf(t, "5.3.0")
	storage := &countedStorage{Storage: app.config.Links.storage()}
	links := NewLinks(testGate, func() keyring.Storage { return storage })
	for i := range 100 {
		if err := links.noteIssued(t.Context(), jwtUntil(time.Now().Add(time.Duration(i)*time.Hour)), "2 x"); err != nil {
			t.Fatal(err)
		}
	}
	storage.calls = 0
	if !links.anyIssuedTo(t.Context(), "2 x") || links.anyIssuedTo(t.Context(), "3 y") {
		t.Error("the holder of a token is not told from another account")
	}
	if storage.calls > 2 {
		t.Errorf("that took %d storage calls, want one for each account", storage.calls)
	}
}

// countedStorage counts what reads.
type countedStorage struct {
	keyring.Storage

	calls int
}

func (s *countedStorage) Load(ctx context.Context, key string) ([]byte, error) {
	s.calls++
	return s.Storage.Load(ctx, key)
}

func (s *countedStorage) List(ctx context.Context, prefix string, recursive bool) ([]string, error) {
	s.calls++
	return s.Storage.List(ctx, prefix, recursive)
}

// Bob, who has alice's name for a moment, asks for tokens by his password, which may
// not read the account. A refresh token beside it, made up or an old one of his, does
// not keep the gate from noting whose they are: RomM does not look at it.
func TestRefreshTokenBesideAPassword(t *testing.T) {
	t.Parallel()
	const bob, alice = `{"id":2,"username":"alice","created_at":"2026-01-01T00:00:00"}`, `{"id":3,"username":"alice","created_at":"2026-01-02T00:00:00"}`
	for name, grant := range map[string]url.Values{"password": {"grant_type": {"password"}}, "no grant type": {}, "both": {"grant_type": {"refresh_token", "password"}}} {
		for what, refresh := range map[string]string{"made up": "x", "alice's": jwtUntil(time.Now().Add(24 * time.Hour))} {
			t.Run(name+", "+what, func(t *testing.T) {
				t.Parallel()
				app := appOf(t, "5.2.0")
				if what == "alice's" {
					if err := app.config.Links.noteIssued(t.Context(), refresh, "3 2026-01-02T00:00:00"); err != nil {
						t.Fatal(err)
					}
				}
				token, now := jwtUntil(time.Now().Add(time.Hour)), bob
				call := func(_ context.Context, call application.Call) (*application.Answer, error) {
					if strings.HasPrefix(call.Header.Get("Authorization"), "Basic ") {
						return &application.Answer{Status: http.StatusOK, Header: http.Header{}, Body: []byte(now)}, nil
					}
					return &application.Answer{Status: http.StatusForbidden, Header: http.Header{}}, nil
				}
				form := url.Values{"username": {"alice"}, "password": {"x"}, "refresh_token": {refresh}}
				maps.Copy(form, grant)
				r := httptest.NewRequest(http.MethodPost, "/api/token", strings.NewReader(form.Encode()))
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
				if err := app.Exchange(r)(t.Context(), call, fmt.Appendf(nil, `{"access_token":%q}`, token)); err != nil {
					t.Fatal(err)
				}
				now = alice
				if holder, err := app.holder(t.Context(), "Bearer "+token); holder != "2 2026-01-01T00:00:00" || err != nil {
					t.Errorf("the token is noted for the account %q, %v, want bob's", holder, err)
				}
			})
		}
	}
}

// What the gate knows of a token goes when the token has ended, and no token comes
// back by that: RomM before 4.8 accepts expired ones.
func TestIssuedTokensAreForgotten(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	app := appOf(t, "4.7.0")
	app.config.Now = func() time.Time { return now }
	links := app.config.Links
	short, long := jwtUntil(now.Add(time.Hour)), jwtUntil(now.Add(7*24*time.Hour))
	for _, token := range []string{short, long} {
		if err := links.noteIssued(t.Context(), token, "2 x"); err != nil {
			t.Fatal(err)
		}
	}
	knows := func(token string) bool {
		account, err := links.issuedTo(t.Context(), token)
		return err == nil && account == "2 x"
	}
	for range 3 {
		links.sweepIssued(t.Context(), now)
		if !readToken(short).outdated(now) && !knows(short) || !knows(long) {
			t.Fatalf("at %s the gate knows %v and %v, want both while they are not outdated", now, knows(short), knows(long))
		}
		now = now.Add(24 * time.Hour)
	}
	if knows(short) || !readToken(short).outdated(now) {
		t.Error("the gate still knows a token that ended days ago, want it forgotten")
	}
	call := func(context.Context, application.Call) (*application.Answer, error) {
		return &application.Answer{Status: http.StatusOK, Header: http.Header{}, Body: []byte(`{"id":3,"username":"alice"}`)}, nil
	}
	if got, _, err := app.Recognize(t.Context(), call, "Bearer "+short); got != application.Unrecognized || err != nil {
		t.Errorf("an outdated token is %v, %v, want Unrecognized", got, err)
	}
}
