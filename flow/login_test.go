// Tests of login cookies.

package flow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/romm-oidc/caddy-romm-oidc/flow/keyring"
)

// cookie returns the cookie of login as a browser sends it.
func (h *harness) cookie(login *Login) *http.Cookie {
	h.Helper()
	name, value, err := h.rp.LoginCookie(h.Context(), testPrefix, login)
	if err != nil {
		h.Fatal(err)
	}
	return &http.Cookie{Name: name, Value: value}
}

func (h *harness) newLogin(returnTo string) *Login {
	h.Helper()
	login, _, err := h.rp.Begin(h.Context(), returnTo, false)
	if err != nil {
		h.Fatal(err)
	}
	return login
}

func TestLoginCookie(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	login := h.newLogin("/library?a=b")
	cookie := h.cookie(login)
	// 2026-11-24 12:10 is minute 29925370 of the epoch.
	hash := sha256.Sum256([]byte(login.State))
	if want := testPrefix + "login_hteka_" + hex.EncodeToString(hash[:8]); cookie.Name != want {
		t.Errorf("got name %s, want %s", cookie.Name, want)
	}
	for what, secret := range map[string]string{"state": login.State, "nonce": login.Nonce, "verifier": login.Verifier, "path": "library"} {
		if strings.Contains(cookie.Name+cookie.Value, secret) {
			t.Errorf("the cookie holds the %s in the clear, want it sealed", what)
		}
	}
	if err := cookie.Valid(); err != nil {
		t.Errorf("the cookie is invalid: %v, want a valid one", err)
	}
	got, name, err := h.rp.FindLogin(t.Context(), testPrefix, []*http.Cookie{{Name: "other", Value: "x"}, cookie}, login.State)
	if err != nil || name != cookie.Name {
		t.Fatalf("FindLogin = %v, %s, %v, want the login", got, name, err)
	}
	if *got != *login {
		t.Errorf("got %+v, want %+v", got, login)
	}
	if again := h.cookie(login); again.Name != cookie.Name || again.Value == cookie.Value {
		t.Error("two cookies of one login are equal, want a new nonce each time")
	}
}

// Each login must fit into a cookie (RFC 6265 section 6.1: 4096 bytes), and
// its size does not depend on the characters of its path.
func TestLoginCookieSize(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	for _, character := range []string{"p", "&", "<", "\"", "\\"} {
		login := h.newLogin("/?" + strings.Repeat(character, returnToLimit-2))
		if len(login.ReturnTo) != returnToLimit {
			t.Fatalf("%q: the path is not the longest that LocalPath accepts, want it so", character)
		}
		if cookie := h.cookie(login); len(cookie.Name)+len(cookie.Value) > 4000 {
			t.Errorf("%q: cookie of %d bytes, want at most 4096 with its port", character, len(cookie.Name)+len(cookie.Value))
		}
	}
}

// A state counts only in the browser with its cookie, under the name, prefix,
// gate and key that it was sealed for.
func TestFindLogin(t *testing.T) {
	t.Parallel()
	flip := func(s string, i int) string {
		b := []byte(s)
		if b[i]++; !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", rune(b[i])) {
			b[i] = 'A'
		}
		return string(b)
	}
	for name, row := range map[string]struct {
		change func(h *harness, c *http.Cookie, state *string)
		want   error
	}{
		"unchanged":               {func(*harness, *http.Cookie, *string) {}, nil},
		"no state":                {func(_ *harness, _ *http.Cookie, s *string) { *s = "" }, ErrLoginUnknown},
		"another state":           {func(_ *harness, _ *http.Cookie, s *string) { *s = "another" }, ErrLoginUnknown},
		"cookie of another login": {func(h *harness, c *http.Cookie, _ *string) { *c = *h.cookie(h.newLogin("/")) }, ErrLoginUnknown},
		"value of another login":  {func(h *harness, c *http.Cookie, _ *string) { c.Value = h.cookie(h.newLogin("/")).Value }, ErrLoginUnknown},
		"name of another login":   {func(h *harness, c *http.Cookie, _ *string) { c.Name = h.cookie(h.newLogin("/")).Name }, ErrLoginUnknown},
		"another minute":          {func(_ *harness, c *http.Cookie, _ *string) { c.Name = strings.Replace(c.Name, "_hteka_", "_htekb_", 1) }, ErrLoginUnknown},
		"another prefix":          {func(_ *harness, c *http.Cookie, _ *string) { c.Name = strings.TrimPrefix(c.Name, "__Host-") }, ErrLoginUnknown},
		"prefix twice":            {func(_ *harness, c *http.Cookie, _ *string) { c.Name = testPrefix + c.Name }, ErrLoginUnknown},
		"another kind of cookie":  {func(_ *harness, c *http.Cookie, _ *string) { c.Name = testPrefix + stateHash("x") }, ErrLoginUnknown},
		"first byte changed":      {func(_ *harness, c *http.Cookie, _ *string) { c.Value = flip(c.Value, 0) }, ErrLoginUnknown},
		"last byte changed":       {func(_ *harness, c *http.Cookie, _ *string) { c.Value = flip(c.Value, len(c.Value)-1) }, ErrLoginUnknown},
		"last bytes missing":      {func(_ *harness, c *http.Cookie, _ *string) { c.Value = c.Value[:len(c.Value)-4] }, ErrLoginUnknown},
		"bytes appended":          {func(_ *harness, c *http.Cookie, _ *string) { c.Value += "AAAA" }, ErrLoginUnknown},
		"empty":                   {func(_ *harness, c *http.Cookie, _ *string) { c.Value = "" }, ErrLoginUnknown},
		"padded":                  {func(_ *harness, c *http.Cookie, _ *string) { c.Value += "=" }, ErrLoginUnknown},
		"another gate":            {func(h *harness, _ *http.Cookie, _ *string) { h.keyring = newKeyring(h.T, "other", 1) }, ErrLoginUnknown},
		"another key":             {func(h *harness, _ *http.Cookie, _ *string) { h.keyring = newKeyring(h.T, "gate", 2) }, ErrLoginUnknown},
		"rotated key":             {func(h *harness, _ *http.Cookie, _ *string) { h.keyring = newKeyring(h.T, "gate", 2, 1) }, nil},
		"just before expiry":      {func(h *harness, _ *http.Cookie, _ *string) { h.Advance(LoginLifetime) }, nil},
		"after expiry":            {func(h *harness, _ *http.Cookie, _ *string) { h.Advance(LoginLifetime + time.Second) }, ErrLoginExpired},
		"sealed for another purpose": {func(h *harness, c *http.Cookie, _ *string) {
			c.Value = h.keyring.SealText("ticket", []byte(`{}`), c.Name)
		}, ErrLoginUnknown},
		"sealed, not a login": {func(h *harness, c *http.Cookie, _ *string) {
			c.Value = h.keyring.SealText(sealLogin, []byte(`[]`), c.Name)
		}, ErrLoginUnknown},
		"unknown state": {func(h *harness, c *http.Cookie, s *string) {
			*s = strings.Repeat("s", stateLimit+1)
			*c = *h.cookie(&Login{State: *s, Expires: h.Now()})
		}, ErrLoginUnknown},
		"sealed, another state": {func(h *harness, c *http.Cookie, _ *string) {
			c.Value = h.keyring.SealText(sealLogin, (&Login{State: "another", Expires: time.Now().AddDate(9, 0, 0)}).text(), c.Name)
		}, ErrLoginUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t)
			login := h.newLogin("/library")
			cookie, state := h.cookie(login), login.State
			row.change(h, cookie, &state)
			got, found, err := h.rp.FindLogin(t.Context(), testPrefix, []*http.Cookie{cookie}, state)
			failsAs(t, err, row.want, "")
			switch {
			case err == nil && (got.Verifier != login.Verifier || found != cookie.Name),
				err != nil && !errors.Is(err, ErrLoginExpired) && got != nil,
				errors.Is(err, ErrLoginExpired) && (found != cookie.Name || got.ReturnTo != "/library"),
				errors.Is(err, ErrLoginUnknown) && found != "":
				t.Errorf("FindLogin = %+v, %q, want the login, or none", got, found)
			}
		})
	}
}

// Login CSRF: an attacker lures a user to the callback of the attacker's own
// login, after planting cookies from a sibling domain. The login is unknown.
func TestFindLoginAmongPlanted(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	login := h.newLogin("/")
	cookie := h.cookie(login)
	planted := []*http.Cookie{
		{Name: cookie.Name, Value: "planted"},
		{Name: cookie.Name, Value: h.cookie(h.newLogin("/")).Value},
		{Name: testPrefix + "login_0_" + stateHash(login.State), Value: cookie.Value},
		cookie,
		{Name: cookie.Name, Value: ""},
	}
	got, _, err := h.rp.FindLogin(t.Context(), testPrefix, planted, login.State)
	if err != nil || got.Verifier != login.Verifier {
		t.Errorf("FindLogin = %+v, %v, want ErrLoginUnknown", got, err)
	}
}

// Several tabs sign in at once: each finds its own login.
func TestTwentyLoginsAtOnce(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	logins, cookies := make([]*Login, 0, minLogins), make([]*http.Cookie, 0, minLogins)
	for i := range minLogins {
		login := h.newLogin(fmt.Sprint("/tab", i))
		logins, cookies = append(logins, login), append(cookies, h.cookie(login))
		h.Advance(20 * time.Second)
	}
	for i := range minLogins {
		login := logins[(i*3)%minLogins]
		got, name, err := h.rp.FindLogin(t.Context(), testPrefix, cookies, login.State)
		if err != nil || got.ReturnTo != login.ReturnTo || got.Verifier != login.Verifier {
			t.Errorf("FindLogin = %+v, %v, want each tab's own login", got, err)
		}
		cookies = slices.DeleteFunc(cookies, func(c *http.Cookie) bool { return c.Name == name })
	}
	if len(cookies) != 0 {
		t.Errorf("%d cookies are left, want none", len(cookies))
	}
}

// If the keyring cannot be read, the login is not unknown. A callback without a
// cookie does not read the keyring.
func TestLoginWithoutKeyring(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	login := h.newLogin("/")
	cookie := h.cookie(login)
	away, asked := errors.New("storage is away"), 0
	h.rp.config.Keyring = func(context.Context) (*keyring.Keyring, error) { asked++; return nil, away }
	_, _, err := h.rp.LoginCookie(t.Context(), testPrefix, login)
	failsAs(t, err, away, "sealing a login")
	_, _, err = h.rp.FindLogin(t.Context(), testPrefix, []*http.Cookie{cookie}, login.State)
	failsAs(t, err, away, "opening a login")
	_, _, err = h.rp.FindLogin(t.Context(), testPrefix, []*http.Cookie{{Name: testPrefix + "login_x_y", Value: "z"}}, login.State)
	failsAs(t, err, ErrLoginUnknown, "")
	if asked != 2 {
		t.Errorf("the keyring was read %d times, want 2", asked)
	}
}

func TestLoginCookies(t *testing.T) {
	t.Parallel()
	names := []string{
		"login_hteka_c", "other", "login_htek9_b", "login_hteka_d", testPrefix, testPrefix + "login_", testPrefix + "login_hteka_b",
		testPrefix + "login_hteka_a", testPrefix + "login_zzzzz_e", testPrefix + "login_9_f", testPrefix + "login_!_g",
		testPrefix + "login_zzzzzzzzzzzzzzzzzzzz_h", strings.ToLower(testPrefix) + "login_1_i", testPrefix + "login",
	}
	cookies := make([]*http.Cookie, len(names))
	for i, name := range names {
		cookies[i] = &http.Cookie{Name: name}
	}
	var got []string
	for _, c := range loginCookies(testPrefix, cookies) {
		got = append(got, strings.TrimPrefix(c.Name, testPrefix))
	}
	want := []string{"login_", "login_!_g", "login_zzzzzzzzzzzzzzzzzzzz_h", "login_9_f", "login_hteka_b", "login_hteka_a", "login_zzzzz_e"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := loginCookies(testPrefix, nil); len(got) != 0 {
		t.Errorf("loginCookies = %v, want none", got)
	}
}

// The oldest come first: the order is that of the logins, not of the names.
func TestLoginCookiesOldestFirst(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	want, cookies := make([]string, 8), make([]*http.Cookie, 8)
	for i := range want {
		cookies[7-i] = h.cookie(h.newLogin("/"))
		want[i] = cookies[7-i].Name
		h.Advance(40 * 24 * time.Hour) // past a change in the length of the number
	}
	got := loginCookies(testPrefix, cookies)
	if !slices.EqualFunc(got, want, func(c *http.Cookie, name string) bool { return c.Name == name }) {
		t.Errorf("got %v, want %q", got, want)
	}
}

// The return path is checked when it is stored and when it is used.
func TestFindLoginChecksTheWayBack(t *testing.T) {
	t.Parallel()
	h := newHarness(t)
	login := h.newLogin("/")
	login.ReturnTo = "//evil.example"
	cookie := h.cookie(login)
	got, _, err := h.rp.FindLogin(t.Context(), testPrefix, cookies(cookie), login.State)
	if err != nil || got.ReturnTo != "/" {
		t.Errorf("FindLogin = %+v, %v, want a login to /", got, err)
	}
}

func FuzzFindLogin(f *testing.F) {
	ring := newKeyring(f, "gate", 1)
	rp := New(Config{
		Issuer: testIssuer, Client: newBrokenClient(),
		Keyring: func(context.Context) (*keyring.Keyring, error) { return ring, nil },
		Now:     func() time.Time { return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC) },
	})
	name, value, err := rp.LoginCookie(f.Context(), testPrefix, &Login{State: "s", Expires: rp.config.Now().Add(time.Minute)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(name+"="+value, "s")
	f.Add(name+"="+value+"; "+name+"=x", "s")
	f.Add(name+"=\""+value+"\"", "s")
	f.Add(name+"="+value+"=", "s")
	f.Add(testPrefix+"login__=x", "")
	f.Add(testPrefix+"login_"+"_"+stateHash("t")+"="+value, "t")
	f.Add(strings.Repeat(testPrefix+"login_1_"+stateHash("s")+"=; ", 50), "s")
	f.Fuzz(func(t *testing.T, header, state string) {
		r := &http.Request{Header: http.Header{"Cookie": {header}}}
		login, found, err := rp.FindLogin(context.Background(), testPrefix, r.Cookies(), state)
		if err == nil && (state != "s" || login.State != "s" || found != name) {
			t.Errorf("FindLogin accepts %q for the state %q, want ErrLoginUnknown", header, state)
		}
		if len(SurplusLogins(testPrefix, r.Cookies(), 300)) > len(r.Cookies()) {
			t.Error("SurplusLogins returned more names than cookies, want at most as many")
		}
	})
}

func cookies(all ...*http.Cookie) []*http.Cookie { return all }
